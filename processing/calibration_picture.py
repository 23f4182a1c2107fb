"""How far confidences can be trusted, as a picture where matplotlib is installed."""

from __future__ import annotations

from typing import Any

import numpy as np

from processing import figure
from processing.metrics import wilson_interval

RIGHT, MODEL = "#666666", "#1f77b4"


def calibration_png(
    labels: np.ndarray, probabilities: np.ndarray, evaluation: dict[str, Any]
) -> bytes | None:
    """A reliability diagram, and accuracy by coverage with the recommended threshold, as a PNG.

    `labels` int [n], `probabilities` float [n, classes]; `evaluation` is evaluation.json's content. None
    without matplotlib.
    """
    drawn = figure.blank(11.5, 4.8)
    if drawn is None:
        return None
    reliability, coverage = drawn.subplots(1, 2)
    _reliability(reliability, evaluation["calibration"], 1 / probabilities.shape[1])
    _coverage(coverage, labels, probabilities, evaluation["recommended_threshold"])
    return figure.png(drawn)


def _reliability(axes: Any, calibration: dict[str, Any], chance: float) -> None:
    """Bars of accuracy by confidence: on the dotted line is where a confidence means what it says."""
    filled = [part for part in calibration["bins"] if part["images"]]
    axes.plot([0, 1], [0, 1], linestyle=":", color=RIGHT, label="as right as it is sure")
    axes.bar(
        [part["low"] for part in filled],
        [part["accuracy"] for part in filled],
        width=[part["high"] - part["low"] for part in filled],
        align="edge",
        alpha=0.35,
        edgecolor=MODEL,
        color=MODEL,
    )
    axes.errorbar(
        [part["confidence"] for part in filled],
        [part["accuracy"] for part in filled],
        yerr=np.transpose([_reach(part) for part in filled]),
        fmt="o",
        capsize=4,
        color=MODEL,
        label="this model, 95 % intervals (Wilson)",
    )
    for part in filled:
        axes.annotate(
            f"{part['images']:,}", ((part["low"] + part["high"]) / 2, 0.01), ha="center", fontsize=8
        )
    error = calibration["expected_calibration_error"]
    start = min(chance, *(part["low"] for part in filled))
    axes.set(
        xlim=(start, 1),
        ylim=(0, 1.02),
        xlabel="confidence (in the bars: images)",
        ylabel="share that is right",
        title=f"calibration error {error:.3f}",
    )
    _legend_below(axes)


def _reach(part: dict[str, Any]) -> tuple[float, float]:
    """How far under and over a bin's accuracy the true one may lie: far where it has few images."""
    low, high = wilson_interval(round(part["accuracy"] * part["images"]), part["images"])
    return max(0.0, part["accuracy"] - low), max(0.0, high - part["accuracy"])


def _legend_below(axes: Any) -> None:
    """Under the axis: inside, it would lie on bars or on the curve."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, fontsize=9, frameon=False)


def _coverage(axes: Any, labels: np.ndarray, probabilities: np.ndarray, threshold: dict[str, Any]) -> None:
    """How often the surest answers are right, from few of them to all."""
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (probabilities.argmax(axis=1) == labels)[order]
    counts = np.arange(1, len(labels) + 1)
    accuracy = np.cumsum(right) / counts
    # Answers of one confidence are kept or left together.
    last = np.append(np.diff(confidence[order]) != 0, True)
    axes.plot(counts[last] / len(labels), accuracy[last], color=MODEL, label="this model")
    low = float(accuracy[last].min())
    title = "no threshold is recommended"
    target, here = threshold["target_accuracy"], threshold["here"]
    if target is not None:
        axes.axhline(target, linestyle=":", color=RIGHT, label=f"target {target:g}")
        low = min(low, target)
        title = f"no threshold reached {target:g} in training"
    if here is not None and here["accuracy"] is not None:
        axes.plot([here["coverage"]], [here["accuracy"]], "o", color=MODEL)
        axes.axvline(
            here["coverage"], linestyle="--", color=RIGHT, label=f"threshold {threshold['value']:.4g}"
        )
        low = min(low, here["accuracy"])
        title = (
            f"threshold {threshold['value']:.4g} keeps {here['coverage']:.0%}, of which "
            f"{here['accuracy']:.1%} are right"
        )
    axes.set(
        xlim=(0, 1.02),
        ylim=(low - 0.02, 1.005),
        xlabel="share of answers kept, the surest first",
        ylabel="share of those that is right",
        title=title,
    )
    axes.grid(alpha=0.3)
    _legend_below(axes)
