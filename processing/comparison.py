"""A new model beside the approved one: how each did on the very same images.

Every result has the same keys, so that a pipeline's condition finds its number whatever came of it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# What is given in place of a package's ARN where none is approved.
NO_PACKAGE = "none"
# A drop that cannot be known counts as the largest there is: who demands "not worse" is not given a guess.
UNKNOWN_DROP = 1.0


def nothing_given() -> dict[str, Any]:
    """Nobody said what to compare with, as when a person evaluates a model by hand."""
    return _result(None, 0.0, "no approved model was given to compare with")


def nothing_approved() -> dict[str, Any]:
    """There is nothing to be worse than."""
    return _result(None, 0.0, "no model is approved yet")


def not_compared(package: str, reason: str) -> dict[str, Any]:
    """The approved model gave no answers, for this reason."""
    summary = (
        f"the approved model {name(package)} cannot be compared, which counts as a drop of {UNKNOWN_DROP:g}: "
        f"{reason}"
    )
    return _result(package, UNKNOWN_DROP, summary, reason=reason)


def paired(right: np.ndarray, approved_right: np.ndarray, package: str) -> dict[str, Any]:
    """Both models' answers compared image by image; bool [n] each, whether the answer was right."""
    images = len(right)
    only_new = int((right & ~approved_right).sum())
    only_approved = int((approved_right & ~right).sum())
    accuracy = int(approved_right.sum()) / images
    p_value = mcnemar_exact(only_new, only_approved)
    summary = (
        f"the approved model {name(package)} has {accuracy:.4f} on the same {images:,} images; "
        f"{only_new:,} only the new model gets right, {only_approved:,} only the approved one "
        f"(McNemar's exact p = {p_value:.2g})"
    )
    return _result(
        package,
        # One division of whole numbers, so that 4 of 200 are no more than a permitted 0.02.
        (only_approved - only_new) / images,
        summary,
        images=images,
        accuracy=accuracy,
        discordant={"only_new_right": only_new, "only_approved_right": only_approved},
        p_value=p_value,
        method="mcnemar-exact",
    )


def mcnemar_exact(one: int, other: int) -> float:
    """Two-sided p-value of so many images that only the one, or only the other, model gets right.

    If both were equally good, each such image would be a fair coin's throw.
    Q. McNemar, "Note on the sampling error of the difference between correlated proportions", 1947; exact
    by the binomial distribution instead of the approximation by chi-square.
    """
    thrown = one + other
    tail = sum(math.comb(thrown, heads) for heads in range(min(one, other) + 1))
    return min(1.0, 2 * tail / 2**thrown)


def name(package: str) -> str:
    """`scones/3` of the package's ARN."""
    return package.rpartition(":model-package/")[2]


def _result(package: str | None, drop: float, summary: str, **known: Any) -> dict[str, Any]:
    unknown = dict.fromkeys(("reason", "images", "accuracy", "discordant", "p_value", "method"))
    return {
        "compared": "accuracy" in known,
        "model_package_arn": package,
        "accuracy_drop": drop,
        "summary": summary,
        **(unknown | known),
    }
