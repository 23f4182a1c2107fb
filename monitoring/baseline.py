"""What the deployed model was made with: the baseline that captured records are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from monitoring.schema import Probability, first_mistake
from processing.job import shown

# Far more than any data set has: what is larger is damaged.
_LARGEST_COUNT = 1_000_000_000
_MOST_BINS = 256
_SHOWN = 200  # letters


class BaselineError(Exception):
    """This is no baseline."""


@dataclass(frozen=True)
class Source:
    """A file's content, and its name for messages."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Baseline:
    """What the training data looked like, and what the model answered to images that it had not seen.

    Attributes:
        per_class: training images by class, in the order of the model's answers.
        brightness: training images by mean luma, float [bins], in equal bins over 0..256.
        confidence: the model's highest probability for each validation image, float [n]; None where
            there are none.
    """

    per_class: dict[str, int]
    brightness: np.ndarray
    confidence: np.ndarray | None = None

    @classmethod
    def read(cls, statistics: Source, predictions: Source | None, classes: Sequence[str]) -> Baseline:
        """From PrepareData's statistics.json and, where it is there, EvaluateModel's predictions.jsonl.

        `classes` are those of the model. Raises BaselineError when the files are something else.
        """
        split = _split(statistics)
        if set(split.per_class) != set(classes):
            found = shown(", ".join(split.per_class), _SHOWN)
            raise BaselineError(
                f"{statistics.name} is of the classes {found}, and the model's are {', '.join(classes)}"
            )
        per_class = {name: split.per_class[name] for name in classes}
        confidence = _confidence(predictions, len(classes)) if predictions else None
        return cls(per_class, np.asarray(split.brightness_histogram, dtype=float), confidence)

    @property
    def mean_brightness(self) -> float | None:
        """Of the training images, 0 to 255."""
        total = self.brightness.sum()
        width = 256 / len(self.brightness)
        centres = (np.arange(len(self.brightness)) + 0.5) * width
        return float(self.brightness @ centres / total) if total else None


_Count = Annotated[int, Field(ge=0, le=_LARGEST_COUNT)]


class _Split(BaseModel):
    per_class: dict[str, _Count]
    brightness_histogram: Annotated[list[_Count], Field(min_length=1, max_length=_MOST_BINS)]


class _Splits(BaseModel):
    train: _Split


class _Statistics(BaseModel):
    splits: _Splits


class _Prediction(BaseModel):
    probabilities: list[Probability]


_STATISTICS, _PREDICTION = TypeAdapter(_Statistics), TypeAdapter(_Prediction)


def _split(source: Source) -> _Split:
    try:
        return _STATISTICS.validate_json(source.content, strict=True).splits.train
    except ValidationError as error:
        raise BaselineError(
            f"{source.name} is not what PrepareData writes: {first_mistake(error)}. A new execution of the "
            "pipeline makes a new package with its own"
        ) from None


def _confidence(source: Source, classes: int) -> np.ndarray | None:
    found = []
    for number, line in enumerate(source.content.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{source.name}, line {number}, is not what EvaluateModel writes"
        try:
            row = _PREDICTION.validate_json(line, strict=True).probabilities
        except ValidationError as error:
            raise BaselineError(f"{where}: {first_mistake(error)}") from None
        if len(row) != classes:
            raise BaselineError(f"{where}: {len(row)} probabilities for {classes} classes")
        found.append(max(row))
    return np.asarray(found) if found else None
