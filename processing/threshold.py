"""The confidence from which a model's answers can be trusted: as its training found, and what it does here.

Training calibrates on answers to training images that the answering network had not seen, and leaves the
threshold in model.json. Here it is only looked at: nothing is chosen on the images of an evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# In the registry, whose metadata are texts of one character at least.
NOT_KNOWN = "none"


def recommended(card: Mapping[str, Any], labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """What evaluation.json says of the threshold in the model's card (the content of model.json).

    `value` is None where no threshold reaches the target accuracy, or where the model was not calibrated;
    then `target_accuracy` is None as well. `coverage` is the share of held-out answers that are kept.
    """
    calibration = _within(_within(card, "trained"), "calibration")
    target, value = _number(calibration, "target"), _number(card, "threshold")
    coverage = _number(calibration, "coverage")
    if target is None or value is None or coverage is None:
        value = coverage = None
    return {
        "value": value,
        "target_accuracy": target,
        "coverage": coverage,
        "here": kept(labels, probabilities, value) if value is not None else None,
        "metadata": {
            "confidence_threshold": _text(value),
            "threshold_accuracy": _text(target),
            "threshold_coverage": _text(coverage),
        },
    }


def kept(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, float | None]:
    """The share of answers that reach the threshold, and the accuracy of those."""
    reached = probabilities.max(axis=1) >= threshold
    right = probabilities.argmax(axis=1) == labels
    accuracy = float(right[reached].mean()) if reached.any() else None
    return {"coverage": float(reached.mean()), "accuracy": accuracy}


def sentence(threshold: Mapping[str, Any]) -> str:
    """`evaluation.json`'s `recommended_threshold`, for a person."""
    value, target, here = (threshold[key] for key in ("value", "target_accuracy", "here"))
    if target is None:
        return "no threshold is recommended: the model was not calibrated"
    if value is None:
        return f"no threshold is recommended: none reached an accuracy of {target:g} on held-out answers"
    right = "none" if here["accuracy"] is None else f"{here['accuracy']:.4f}"
    return (
        f"recommended threshold {value:.4f}: {target:g} accuracy on held-out answers, of which it kept "
        f"{threshold['coverage']:.1%}; here it keeps {here['coverage']:.1%} with an accuracy of {right}"
    )


def _within(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A card may come from anywhere: what is no object holds nothing."""
    inner = values.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return value if isinstance(value, (int, float)) and 0 <= value <= 1 else None


def _text(value: float | None) -> str:
    """All of it: rounded up, 0.99996 would be a threshold that no answer reaches."""
    return NOT_KNOWN if value is None else f"{value:.9g}"
