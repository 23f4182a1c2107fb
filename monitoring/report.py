"""One picture of what an endpoint saw and said, and the same in numbers.

    report = write_report(captures, Path("out/monitoring.png"), threshold=0.8, baseline=baseline)

writes `monitoring.png` and, beside it, `monitoring.json` with the `Report`'s members. Without a `Baseline`,
the picture compares with nothing.
"""

from __future__ import annotations

import errno
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from monitoring.baseline import Baseline
from monitoring.capture import Captures, Payload
from monitoring.drift import Drift, compare
from monitoring.figure import draw
from monitoring.limits import Limits
from processing.outputs import write_files

# Images are decoded for their brightness; more of them than this would not make the histogram any clearer.
LARGEST_SAMPLE = 2_000
_SIDE = 256  # pixels


class ReportError(Exception):
    """The report cannot be drawn from this."""


@dataclass(frozen=True)
class Subject:
    """Whose records they are: of which endpoint and the package that it serves, from when on (ISO 8601)."""

    endpoint: str
    model_package: str | None
    since: str

    def __str__(self) -> str:
        serving = self.model_package.rpartition("model-package/")[2] if self.model_package else "no package"
        return f"{self.endpoint}, serving {serving}"


@dataclass(frozen=True)
class Report:
    """What the picture shows, in numbers.

    Attributes:
        first, last: times of the first and the last record, ISO 8601 in UTC.
        answers: records that have one; of the others, only the request was captured.
        under_threshold: answers whose confidence is under the threshold.
        validation_under_threshold: of the model's answers to the validation images, the share that is;
            None where they are not known.
        predicted: records by predicted class.
        mean_brightness: of the captured images, 0 to 255; None when none could be decoded.
        training_brightness: the same of the training images; None without a baseline.
        drift: each feature beside its baseline; empty without one.
        drifted: the features whose verdict is drift.
        malformed: lines that are no record, each with its place and reason.
        picture: where it was written.
    """

    subject: Subject | None
    records: int
    answers: int
    first: str
    last: str
    threshold: float
    under_threshold: int
    validation_under_threshold: float | None
    mean_confidence: float
    predicted: dict[str, int]
    mean_brightness: float | None
    training_brightness: float | None
    undecodable_images: int
    drift: tuple[Drift, ...]
    drifted: tuple[str, ...]
    malformed: tuple[str, ...]
    picture: str


def write_report(
    captures: Captures,
    picture: Path,
    *,
    threshold: float,
    baseline: Baseline | None = None,
    limits: Limits | None = None,
    subject: Subject | None = None,
) -> Report:
    """Draws the picture (PNG) and writes the numbers beside it (same name, `.json`), each whole or not.

    `threshold` is the confidence under which an answer is not trusted, 0 to 1; `limits` say what counts as
    drift from the baseline; `subject` is for the heading.

    Raises:
        ReportError: there is no record with an answer, or `picture` is no name of a PNG file.
    """
    check_target(picture)
    if captures.table.empty:
        raise ReportError("There are no captured records to draw.")
    answered = captures.table.dropna(subset=["confidence"])
    if answered.empty:
        raise ReportError("No captured record has an answer: the endpoint captures its input only.")
    brightness, undecodable = measure_brightness(captures.table)
    validation = baseline.confidence if baseline else None
    predicted = {name: int((answered["predicted"] == name).sum()) for name in captures.classes}
    drift: tuple[Drift, ...] = ()
    if baseline:
        confidence = answered["confidence"].to_numpy()
        drift = compare(brightness, confidence, predicted, baseline, limits or Limits())
    report = Report(
        subject=subject,
        records=len(captures.table),
        answers=len(answered),
        first=captures.table["time"].iloc[0].isoformat(),
        last=captures.table["time"].iloc[-1].isoformat(),
        threshold=threshold,
        under_threshold=int((answered["confidence"] < threshold).sum()),
        validation_under_threshold=None if validation is None else float((validation < threshold).mean()),
        mean_confidence=round(float(answered["confidence"].mean()), 6),
        predicted=predicted,
        mean_brightness=round(float(brightness.mean()), 3) if len(brightness) else None,
        training_brightness=baseline.mean_brightness if baseline else None,
        undecodable_images=undecodable,
        drift=drift,
        drifted=tuple(each.feature for each in drift if each.verdict == "drift"),
        malformed=tuple(map(str, captures.malformed)),
        picture=str(picture),
    )
    drawn = draw(answered, captures.classes, brightness, report, baseline)
    numbers = (json.dumps(asdict(report), indent=2) + "\n").encode()
    write_files(picture.parent, {picture.name: drawn, picture.with_suffix(".json").name: numbers})
    return report


def check_target(picture: Path) -> None:
    """Whether a report can be written there. Raises ReportError or OSError."""
    if picture.suffix.lower() != ".png":
        raise ReportError(f'The picture is a PNG file: name it *.png, not "{picture}".')
    for path in (picture, picture.with_suffix(".json")):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    there = next(parent for parent in picture.absolute().parents if parent.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))


def measure_brightness(table: pd.DataFrame, seed: int = 0) -> tuple[np.ndarray, int]:
    """Mean luma (ITU-R BT.601, 0..255) of the captured images, of a sample when there are very many.

    Returns the brightness, float [n], and how many inputs were no image that can be decoded.
    """
    inputs = table["input"].dropna()
    if len(inputs) > LARGEST_SAMPLE:
        inputs = inputs.sample(LARGEST_SAMPLE, random_state=seed)
    values = np.array([_luma(payload) for payload in inputs], dtype=float)
    return values[~np.isnan(values)], int(np.isnan(values).sum())


def _luma(payload: Payload) -> float:
    """Not a number where the input is no image. Of a large one, the mean of fewer pixels is the same."""
    image = payload.image(_SIDE)
    return math.nan if image is None else float(np.asarray(image.convert("L")).mean())
