"""Numbers about a classifier's answers, from true labels and predicted probabilities.

`labels` is int [n], `probabilities` float [n, classes]; the prediction is the most probable class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

CONFIDENCE = 0.95
_Z = 1.959963984540054  # the normal distribution's 0.975 quantile
CALIBRATION_BINS = 10
COVERAGE_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)
BOOTSTRAP_SAMPLES = 200


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, int64 [classes, classes]: rows are true classes, columns predicted ones."""
    flat = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


def wilson_interval(right: int, images: int) -> tuple[float, float]:
    """Where the true accuracy lies, at 95 %.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.
    """
    if not images:
        return 0.0, 1.0
    share, spread = right / images, _Z * _Z / images
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    # The share itself always lies within; rounding must not deny it.
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def calibration(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Confidence against accuracy in bins of equal width, and the expected calibration error.

    C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. Empty bins hold null.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins, error = [], 0.0
    for number in range(CALIBRATION_BINS):
        inside = place == number
        count = int(inside.sum())
        mean, share = (
            (float(confidence[inside].mean()), float(right[inside].mean())) if count else (None, None)
        )
        if mean is not None and share is not None:
            error += count / len(labels) * abs(mean - share)
        low, high = number / CALIBRATION_BINS, (number + 1) / CALIBRATION_BINS
        bins.append({"low": low, "high": high, "images": count, "confidence": mean, "accuracy": share})
    return {
        "bins": bins,
        "expected_calibration_error": error,
        "brier_score": brier_score(labels, probabilities),
    }


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance from the truth, 0 to 2. G. W. Brier, Monthly Weather Review 1950."""
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def accuracy_by_coverage(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float | None]]:
    """For each threshold of confidence: the share of answers that reach it, and the accuracy of those."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    table = []
    for threshold in COVERAGE_THRESHOLDS:
        kept = confidence >= threshold
        accuracy = float(right[kept].mean()) if kept.any() else None
        table.append({"threshold": threshold, "coverage": float(kept.mean()), "accuracy": accuracy})
    return table


def rates(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of each class, float [classes]; 0 where it was never predicted or never true."""
    diagonal = np.diag(matrix).astype(float)
    return _share(diagonal, matrix.sum(axis=0)), _share(diagonal, matrix.sum(axis=1))


def f_score(precision: np.ndarray, recall: np.ndarray, beta: float) -> np.ndarray:
    """C. J. van Rijsbergen, "Information Retrieval", 1979."""
    weight = beta * beta
    return _share((1 + weight) * precision * recall, weight * precision + recall)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) != 0)


def roc_curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at each distinct score, from the strictest threshold; starts at 0, 0."""
    true, false = _cumulated(positive, scores)
    return (
        np.concatenate([[0.0], _share(false, np.full_like(false, (~positive).sum()))]),
        np.concatenate([[0.0], _share(true, np.full_like(true, positive.sum()))]),
    )


def precision_recall_curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at each distinct score, from the strictest threshold; starts at 1, 0."""
    true, false = _cumulated(positive, scores)
    precision, recall = _share(true, true + false), _share(true, np.full_like(true, positive.sum()))
    return np.concatenate([[1.0], precision]), np.concatenate([[0.0], recall])


def area(x: np.ndarray, y: np.ndarray) -> float:
    """Under a curve, by the trapezoid rule."""
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def _cumulated(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(positive[order])[last].astype(float)
    return true, last + 1 - true


def bootstrap_deviation(
    measure: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    labels: np.ndarray,
    probabilities: np.ndarray,
) -> dict[str, float]:
    """The standard deviation of each measure over samples drawn with replacement, always the same ones.

    B. Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979.
    """
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(labels), len(labels)) for _ in range(BOOTSTRAP_SAMPLES)]
    measured = [measure(labels[rows], probabilities[rows]) for rows in drawn]
    return {name: float(np.std([values[name] for values in measured])) for name in measured[0]}
