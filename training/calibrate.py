"""Makes confidences mean what they say, and finds the confidence from which answers can be trusted.

Everything is worked out from answers to training images that the answering network had not seen.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

BINS = 15
# The accuracy that answers above the recommended threshold are to reach.
TARGET = 0.99


@dataclass(frozen=True)
class Point:
    """If answers under `threshold` go to a person: the share that is kept, and how often that is right."""

    threshold: float
    coverage: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """What held-out answers say. `threshold` is None if no threshold reaches the target accuracy.

    `loss` is their cross-entropy at the temperature, in nats: finer than the accuracy to compare runs by.
    """

    images: int
    accuracy: float
    loss: float
    temperature: float
    error_before: float
    error: float
    target: float
    threshold: float | None
    coverage: float
    curve: tuple[Point, ...]

    def line(self) -> str:
        start = (
            f"heldout:accuracy={self.accuracy:.4f}; heldout:loss={self.loss:.4f}; "
            f"calibration:temperature={self.temperature:.4f}; calibration:error={self.error:.4f}; "
            f"calibration:coverage={self.coverage:.4f}; "
        )
        if self.threshold is None:
            return start + f"no threshold reaches an accuracy of {self.target}"
        return start + f"calibration:threshold={self.threshold:.4f}"


def temperature(logits: Tensor, labels: Tensor) -> float:
    """What to divide the logits by so that their cross-entropy is least, 0.05..20.

    (Guo et al., 2017, arXiv:1706.04599.) The loss is convex in the inverse temperature, so a golden
    section over its logarithm finds the one minimum. Where every answer is right there is none: the loss
    falls as long as confidences rise. So one wrong answer more than was seen is allowed for, as Platt
    scaling does (Platt, 1999): n right ones of one confidence make that 1 - 1/(n + 2).
    """
    low, high = torch.log(torch.tensor([0.05, 20.0], dtype=torch.float64)).tolist()
    ratio = (5**0.5 - 1) / 2

    def loss(place: float) -> float:
        scaled = logits.double() / torch.tensor(place, dtype=torch.float64).exp()
        return functional.cross_entropy(scaled, labels, label_smoothing=unseen).item()

    classes = logits.shape[1]
    unseen = classes / (classes - 1) / (len(labels) + 2)  # a share of 1/classes stays with the label
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(torch.tensor((low + high) / 2, dtype=torch.float64).exp())


def calibration_error(confidences: Tensor, right: Tensor, bins: int = BINS) -> float:
    """Expected calibration error: the mean gap of confidence and accuracy over bins of equal width."""
    places = (confidences * bins).long().clamp(max=bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64)
    gaps.index_add_(0, places, confidences.double() - right.double())
    return float(gaps.abs().sum() / len(confidences))


def coverage_curve(confidences: Tensor, right: Tensor) -> list[Point]:
    """A point for each different confidence, from the lowest threshold (all is kept) to the highest."""
    order = confidences.argsort(descending=True, stable=True)
    ranked = confidences[order].tolist()
    correct = right[order].long().cumsum(0).tolist()
    points = []
    for index, threshold in enumerate(ranked):
        last_of_its_kind = index + 1 == len(ranked) or ranked[index + 1] < threshold
        if last_of_its_kind:
            kept = index + 1
            points.append(Point(threshold, kept / len(ranked), correct[index] / kept))
    return points[::-1]


def thin(points: list[Point], count: int = 100) -> tuple[Point, ...]:
    """At most so many of the points, evenly, with both ends."""
    if len(points) <= count:
        return tuple(points)
    return tuple(points[round(index * (len(points) - 1) / (count - 1))] for index in range(count))


def calibrate(logits: Tensor, labels: Tensor, target: float = TARGET) -> Calibration:
    """From logits [N, classes] of held-out images and their labels [N]."""
    best = temperature(logits, labels)
    right = logits.argmax(1) == labels
    before = torch.softmax(logits, 1).amax(1)
    confidences = torch.softmax(logits / best, 1).amax(1)
    points = coverage_curve(confidences, right)
    reached = next((point for point in points if point.accuracy >= target), None)
    return Calibration(
        images=len(labels),
        accuracy=float(right.double().mean()),
        loss=functional.cross_entropy(logits.double() / best, labels).item(),
        temperature=best,
        error_before=calibration_error(before, right),
        error=calibration_error(confidences, right),
        target=target,
        threshold=reached.threshold if reached else None,
        coverage=reached.coverage if reached else 0.0,
        curve=thin(points),
    )
