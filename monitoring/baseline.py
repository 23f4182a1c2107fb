"""What the deployed model was made with: the baseline that captured records are compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


class BaselineError(Exception):
    """This is no baseline."""


@dataclass(frozen=True)
class Baseline:
    """What the training data looked like, and what the model answered to images that it had not seen.

    Attributes:
        per_class: training images by class.
        brightness: training images by mean luma, float [bins], in equal bins over 0..255.
        answers: the model's probabilities for the validation images, float [n, classes]; None where
            there are none.
    """

    per_class: dict[str, int]
    brightness: np.ndarray
    answers: np.ndarray | None = None

    @classmethod
    def read(cls, statistics: Mapping[str, Any], predictions: bytes | None = None) -> Baseline:
        """From PrepareData's statistics.json and, where it is there, EvaluateModel's predictions.jsonl.

        Raises BaselineError when they are something else.
        """
        other = "The statistics are not those of PrepareData"
        try:
            split = statistics["splits"]["train"]
            per_class = {name: int(count) for name, count in split["per_class"].items()}
            brightness = np.asarray(split["brightness_histogram"], dtype=float)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BaselineError(f"{other}: {error!r} is wrong.") from error
        if brightness.ndim != 1 or not len(brightness) or not (brightness >= 0).all():
            raise BaselineError(f"{other}: the brightness histogram is not a list of counts.")
        return cls(per_class, brightness, _answers(predictions, len(per_class)) if predictions else None)

    @property
    def mean_brightness(self) -> float | None:
        """Of the training images, 0 to 255."""
        total = self.brightness.sum()
        width = 256 / len(self.brightness)
        centres = (np.arange(len(self.brightness)) + 0.5) * width
        return float(self.brightness @ centres / total) if total else None


def _answers(predictions: bytes, classes: int) -> np.ndarray:
    other = "The predictions are not those of EvaluateModel"
    try:
        rows = [json.loads(line)["probabilities"] for line in predictions.splitlines()]
        answers = np.asarray(rows, dtype=float)
    except (KeyError, TypeError, ValueError) as error:
        raise BaselineError(f"{other}: {error!r} is wrong.") from error
    if answers.ndim != 2 or answers.shape[1] != classes or not ((answers >= 0) & (answers <= 1)).all():
        raise BaselineError(f"{other}: they are not {classes} probabilities each.")
    return answers
