"""One picture of what an endpoint saw and said, and the same in numbers.

    report = write_report(captures, Path("out/monitoring.png"), threshold=0.8, baseline=baseline)

writes `monitoring.png` and, beside it, `monitoring.json` with the `Report`'s members. Without a `Baseline`,
the picture compares with nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from monitoring.baseline import Baseline
from monitoring.capture import Captures
from monitoring.drift import Drift, compare
from monitoring.figure import draw
from monitoring.limits import Limits

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
        training_brightness: the same of the training images; None without a baseline.
        drift: each feature beside its baseline; empty without one.
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
    drift: tuple[Drift, ...]
    malformed: tuple[str, ...]
    picture: str

    @property
    def drifted(self) -> list[str]:
        """The features whose verdict is drift."""
        return [each.feature for each in self.drift if each.verdict == "drift"]


def write_report(
    captures: Captures,
    picture: Path,
    *,
    threshold: float,
    baseline: Baseline | None = None,
    limits: Limits | None = None,
) -> Report:
    """Draws the picture (PNG) and writes the numbers beside it (same name, `.json`), each whole or not.

    `threshold` is the confidence under which an answer is not trusted, 0 to 1; `limits` say what counts as
    drift from the baseline.

    Raises:
        ReportError: there is no record with an answer.
    """
    if captures.table.empty:
        raise ReportError("There are no captured records to draw.")
    answered = captures.table.dropna(subset=["confidence"])
    if answered.empty:
        raise ReportError("No captured record has an answer: the endpoint captures its input only.")
    brightness, undecodable = measure_brightness(captures.table)
    predicted = {name: int((answered["predicted"] == name).sum()) for name in captures.classes}
    drift: tuple[Drift, ...] = ()
    if baseline:
        confidence = answered["confidence"].to_numpy()
        drift = compare(brightness, confidence, predicted, baseline, limits or Limits())
    report = Report(
        records=len(captures.table),
        first=captures.table["time"].iloc[0].isoformat(),
        last=captures.table["time"].iloc[-1].isoformat(),
        threshold=threshold,
        under_threshold=int((answered["confidence"] < threshold).sum()),
        mean_confidence=round(float(answered["confidence"].mean()), 6),
        predicted=predicted,
        mean_brightness=round(float(brightness.mean()), 3) if len(brightness) else None,
        training_brightness=baseline.mean_brightness if baseline else None,
        undecodable_images=undecodable,
        drift=drift,
        malformed=tuple(map(str, captures.malformed)),
        picture=str(picture),
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    _replace(picture, draw(answered, captures.classes, brightness, threshold, baseline, drift))
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
