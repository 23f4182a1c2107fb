"""How far confidences can be trusted, as a picture where matplotlib is installed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

RIGHT, MODEL = "#999999", "#1f77b4"


def calibration_png(
    labels: np.ndarray, probabilities: np.ndarray, evaluation: dict[str, Any]
) -> bytes | None:
    """A reliability diagram, and accuracy by coverage with the recommended threshold, as a PNG.

    `labels` int [n], `probabilities` float [n, classes]; `evaluation` is evaluation.json's content. None
    without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    reliability, coverage = figure.subplots(1, 2)
    _reliability(reliability, evaluation["calibration"], 1 / probabilities.shape[1])
    _coverage(coverage, labels, probabilities, evaluation["recommended_threshold"])
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120)
    return buffer.getvalue()


def _reliability(axes: Any, calibration: dict[str, Any], chance: float) -> None:
    """Bars of accuracy by confidence: on the dotted line is where a confidence means what it says."""
    filled = [part for part in calibration["bins"] if part["images"]]
    places = [part["confidence"] for part in filled]
    axes.plot([0, 1], [0, 1], linestyle=":", color=RIGHT)
    axes.bar(
        [part["low"] for part in filled],
        [part["accuracy"] for part in filled],
        width=[part["high"] - part["low"] for part in filled],
        align="edge",
        alpha=0.35,
        edgecolor=MODEL,
        color=MODEL,
    )
    axes.plot(places, [part["accuracy"] for part in filled], "o", color=MODEL)
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


def _coverage(axes: Any, labels: np.ndarray, probabilities: np.ndarray, threshold: dict[str, Any]) -> None:
    """How often the surest answers are right, from few of them to all."""
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (probabilities.argmax(axis=1) == labels)[order]
    counts = np.arange(1, len(labels) + 1)
    accuracy = np.cumsum(right) / counts
    # Answers of one confidence are kept or left together.
    last = np.append(np.diff(confidence[order]) != 0, True)
    axes.plot(counts[last] / len(labels), accuracy[last], color=MODEL)
    low = float(accuracy[last].min())
    title = "no threshold is recommended"
    target, here = threshold["target_accuracy"], threshold["here"]
    if target is not None:
        axes.axhline(target, linestyle=":", color=RIGHT)
        low = min(low, target)
        title = f"no threshold reached {target:g} in training"
    if here is not None and here["accuracy"] is not None:
        axes.plot([here["coverage"]], [here["accuracy"]], "o", color=MODEL)
        axes.axvline(here["coverage"], linestyle=":", color=RIGHT)
        low = min(low, here["accuracy"])
        title = (
            f"threshold {threshold['value']:.2f} keeps {here['coverage']:.0%}, of which "
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
