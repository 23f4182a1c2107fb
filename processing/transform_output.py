"""A model's answers as a batch transform left them, `<image>.out` for each image, in place of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from processing.model_package import ModelError, distribution, parsed

SUFFIX = ".out"


@dataclass(frozen=True)
class Predictions:
    """Answers by image. A transform job says nothing about the classes: their order is the asker's.

    Nor about how the model was calibrated: there is no card.
    """

    _answers: dict[bytes, bytes]

    @property
    def classes(self) -> None:
        return None

    @property
    def card(self) -> dict[str, Any]:
        return {}

    def probabilities(self, png: bytes, classes: int) -> np.ndarray:
        """What the model answered for this image; float64 [classes]. Raises `ModelError`.

        The answer is a JSON list, or an object with the list as `prediction`, as SageMaker's built-in image
        classification answers in a transform job.
        """
        answer = self._answers[png]
        values = parsed(answer)
        if isinstance(values, dict) and "prediction" in values:
            values = values["prediction"]
        return distribution(values, classes)


@contextmanager
def open_predictions(folder: Path, images: Iterable[tuple[str, bytes]]) -> Iterator[Predictions]:
    """The answers to these images, given by name and content. Raises `ModelError` where one is missing."""
    answers = {}
    for name, content in images:
        path = folder / f"{name}{SUFFIX}"
        if not path.is_file():
            raise ModelError(f"{folder} has no answer to {name}: there is no {path.name}")
        answers[content] = path.read_bytes()
    yield Predictions(answers)
