"""One picture of what an endpoint saw and said, and the same in numbers.

    report = write_report(captures, Path("out/monitoring.png"), threshold=0.8, statistics=statistics)

writes `monitoring.png` and, beside it, `monitoring.json` with the `Report`'s members. `statistics` is the
`statistics.json` of the training data: without it, the picture compares with nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitoring.capture import Captures
from monitoring.figure import draw

# Images are decoded for their brightness; more of them than this would not make the histogram any clearer.
LARGEST_SAMPLE = 2_000


class ReportError(Exception):
    """The report cannot be drawn from this."""


@dataclass(frozen=True)
class Report:
    """What the picture shows, in numbers.

    Attributes:
        first, last: times of the first and the last record, ISO 8601 in UTC.
        under_threshold: records whose confidence is under the threshold.
        predicted: records by predicted class.
        mean_brightness: of the captured images, 0 to 255; None when none could be decoded.
        training_brightness: the same of the training images; None without statistics.
        malformed: lines that are no record, each with its place and reason.
        picture: where it was written.
    """

    records: int
    first: str
    last: str
    threshold: float
    under_threshold: int
    mean_confidence: float
    predicted: dict[str, int]
    mean_brightness: float | None
    training_brightness: float | None
    undecodable_images: int
    malformed: tuple[str, ...]
    picture: str


@dataclass(frozen=True)
class Training:
    """What the training data looked like.

    Attributes:
        per_class: images by class.
        brightness: counts of images by mean luma, in equal bins over 0..255.
    """

    per_class: dict[str, int]
    brightness: np.ndarray

    @classmethod
    def from_statistics(cls, statistics: Mapping[str, Any]) -> Training:
        """Raises ReportError when this is not a statistics.json of PrepareData."""
        try:
            split = statistics["splits"]["train"]
            per_class = {name: int(count) for name, count in split["per_class"].items()}
            return cls(per_class, np.asarray(split["brightness_histogram"], dtype=float))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ReportError(f"The statistics are not those of PrepareData: {error!r} is wrong.") from error

    @property
    def mean_brightness(self) -> float | None:
        total = self.brightness.sum()
        width = 256 / len(self.brightness)
        centres = (np.arange(len(self.brightness)) + 0.5) * width
        return float(self.brightness @ centres / total) if total else None


def write_report(
    captures: Captures, picture: Path, *, threshold: float, statistics: Mapping[str, Any] | None = None
) -> Report:
    """Draws the picture (PNG) and writes the numbers beside it (same name, `.json`), each whole or not.

    `threshold` is the confidence under which an answer is not trusted, 0 to 1.

    Raises:
        ReportError: there is no record with an answer, or the statistics are something else.
    """
    if captures.table.empty:
        raise ReportError("There are no captured records to draw.")
    answered = captures.table.dropna(subset=["confidence"])
    if answered.empty:
        raise ReportError("No captured record has an answer: the endpoint captures its input only.")
    training = Training.from_statistics(statistics) if statistics is not None else None
    brightness, undecodable = measure_brightness(captures.table)
    report = Report(
        records=len(captures.table),
        first=captures.table["time"].iloc[0].isoformat(),
        last=captures.table["time"].iloc[-1].isoformat(),
        threshold=threshold,
        under_threshold=int((answered["confidence"] < threshold).sum()),
        mean_confidence=round(float(answered["confidence"].mean()), 6),
        predicted={name: int((answered["predicted"] == name).sum()) for name in captures.classes},
        mean_brightness=round(float(brightness.mean()), 3) if len(brightness) else None,
        training_brightness=training.mean_brightness if training else None,
        undecodable_images=undecodable,
        malformed=tuple(map(str, captures.malformed)),
        picture=str(picture),
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    _replace(picture, draw(answered, captures.classes, brightness, threshold, training))
    _replace(picture.with_suffix(".json"), (json.dumps(asdict(report), indent=2) + "\n").encode())
    return report


def measure_brightness(table: pd.DataFrame, seed: int = 0) -> tuple[np.ndarray, int]:
    """Mean luma (ITU-R BT.601, 0..255) of the captured images, of a sample when there are very many.

    Returns the brightness, float [n], and how many inputs were no image that can be decoded.
    """
    inputs = table["input"].dropna()
    if len(inputs) > LARGEST_SAMPLE:
        inputs = inputs.sample(LARGEST_SAMPLE, random_state=seed)
    images = [payload.image() for payload in inputs]
    values = [float(np.asarray(image.convert("L")).mean()) for image in images if image is not None]
    return np.asarray(values), len(images) - len(values)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
