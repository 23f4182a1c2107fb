"""SageMaker's data capture files as one pandas table.

A capture file is JSON lines, one record a request, several a file; files lie under
`<destination>/<endpoint>/<variant>/YYYY/MM/DD/HH/`. A line that is no record is named, never fatal.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import from_json

from monitoring.schema import Probability, first_mistake
from processing.job import shown
from training.images import BAD_IMAGE, rgb

COLUMNS = (
    "time",
    "event_id",
    "inference_id",
    "variant",
    "content_type",
    "input",
    "probabilities",
    "predicted",
    "confidence",
    "source",
    "line",
)
_SUFFIX = ".jsonl"
# `<variant>/YYYY/MM/DD/HH/<file>`
_PLACE = re.compile(r"(?P<variant>[^/]+)/(?P<hour>\d{4}/\d{2}/\d{2}/\d{2})/[^/]+$")
_DOWNLOADS = 8
# Of times that can be drawn.
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_ROUNDED = 0.02  # how far the sum of probabilities that were printed with few places may be from 1
_LARGEST_IMAGE = 50_000_000  # pixels, as many as the serving code takes
_SHOWN = 280  # characters
_PROBABILITIES = TypeAdapter(Annotated[tuple[Probability, ...], Field(min_length=1)])
_AS_WRITTEN = ConfigDict(alias_generator=to_camel)


class CaptureError(Exception):
    """There is nothing to read where captures were expected."""


class NoLaterCaptureError(CaptureError):
    """There are records, all of them before the time that was asked for."""


class MalformedCaptureError(CaptureError):
    """There are lines in the time that was asked for, and none of them is a record."""


class _LineError(Exception):
    """Why a line is no record."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A captured request or answer as it was written; decoded when somebody asks."""

    data: str
    encoding: str

    @property
    def content(self) -> bytes:
        """The bytes that went over the wire. Raises ValueError when they are not base64."""
        if self.encoding == "BASE64":
            return base64.b64decode(self.data, validate=True)
        return self.data.encode()

    def image(self, side: int | None = None) -> Image.Image | None:
        """The PNG or JPEG image as the model sees it, RGB; None when it is none, or larger than any it takes.

        Its longer side has at most `side` pixels; a large JPEG is decoded at a fraction of its size.
        """
        try:
            with Image.open(io.BytesIO(self.content), formats=("PNG", "JPEG")) as image:
                if image.width * image.height > _LARGEST_IMAGE:
                    return None
                if side:
                    image.draft("RGB", (side, side))
                seen = rgb(image)
                if side and max(seen.size) > side:
                    seen.thumbnail((side, side), Image.Resampling.BOX)
                return seen
        except BAD_IMAGE:
            return None


@dataclass(frozen=True)
class Malformed:
    """A line that is no record: where it is, and why."""

    source: str
    line: int
    reason: str

    def __str__(self) -> str:
        """On one line, without what a terminal would take for a command."""
        return shown(f"{self.source}, line {self.line}: {self.reason}", _SHOWN)


@dataclass(frozen=True)
class Captures:
    """What was read.

    Attributes:
        table: a row a record, by time, with the columns `COLUMNS`: `time` in UTC, `input` a `Payload`,
            `probabilities` a tuple in the order of the classes (None where only the input was captured),
            `predicted` the class's name, `confidence` the highest probability, `source` the file's URI or
            path and `line` its line, from 1.
        classes: in the order of the probabilities.
    """

    table: pd.DataFrame
    files: int
    malformed: tuple[Malformed, ...]
    classes: tuple[str, ...]

    def without(self, inference_ids: Sequence[str]) -> Captures:
        """The same without the records of these inference ids, such as those of a smoke test."""
        rows = ~self.table["inference_id"].isin(list(inference_ids))
        return Captures(self.table[rows].reset_index(drop=True), self.files, self.malformed, self.classes)


def read_captures(
    source: str | Path,
    *,
    s3: Any = None,
    classes: Sequence[str] | None = None,
    since: datetime | None = None,
) -> Captures:
    """Reads all capture files below an S3 prefix (`s3://bucket/prefix`, with a boto3 client) or a folder.

    `classes` names the probabilities, in their order; without, they are `class 0`, `class 1`, …
    A record with another number of probabilities counts as malformed. Records before `since`, which knows its
    time zone, are left out, and the files of earlier hours are not read at all.

    Raises:
        NoLaterCaptureError: all that is there is earlier than `since`.
        MalformedCaptureError: of what is not earlier no line is a record.
        CaptureError: no capture file, or no line in them that is a record.
    """
    later = _Later(since)
    rows: list[tuple[Any, ...]] = []
    malformed: list[Malformed] = []
    files = 0
    expected = tuple(classes) if classes else None
    s3_source = str(source) if str(source).startswith("s3://") else None
    for name, content in _s3_files(s3, s3_source, later) if s3_source else _local_files(Path(source), later):
        files += 1
        for number, line in _lines(content):
            try:
                row = _row(line, name, number, expected)
            except _LineError as error:
                malformed.append(Malformed(name, number, str(error)))
                continue
            if later.time(row[0]):
                rows.append(row)
                expected = expected or tuple(f"class {index}" for index in range(len(row[6] or ())))
    if not rows:
        if later.earlier:
            nothing = f"{source} holds no record since {since:%Y-%m-%d %H:%M:%S %Z}"
            if malformed:
                raise MalformedCaptureError(f"{nothing}, and what is no record: {malformed[0]}")
            raise NoLaterCaptureError(nothing)
        raise (MalformedCaptureError if malformed else CaptureError)(_nothing(source, files, malformed))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["time"] = pd.to_datetime(table["time"], utc=True)
    table = table.sort_values("time", kind="stable", ignore_index=True)
    return Captures(table, files, tuple(malformed), expected or ())


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1."""
    return ((number, line) for number, line in enumerate(content.splitlines(), start=1) if line.strip())


class _Later:
    """What is of `since` or later, by the hour of a file's folder and by a record's time.

    Attributes:
        earlier: whether anything was not.
    """

    def __init__(self, since: datetime | None) -> None:
        self.earlier = False
        within = since and min(max(since, _EARLIEST), _LATEST)
        # SageMaker writes whole seconds: what is of the same second counts as later.
        self._since = within.astimezone(UTC).replace(microsecond=0) if within else None

    def file(self, name: str) -> bool:
        """With an hour to spare: AWS does not say whether a folder's hour is of its first record or last."""
        place = _PLACE.search(name)
        if not self._since or not place:
            return True
        return self._noted(f"{self._since - timedelta(hours=1):%Y/%m/%d/%H}" <= place["hour"])

    def time(self, time: datetime) -> bool:
        return not self._since or self._noted(time >= self._since)

    def _noted(self, later: bool) -> bool:
        self.earlier |= not later
        return later


class _Part(BaseModel):
    """A captured request or answer."""

    model_config = _AS_WRITTEN

    observed_content_type: str | None = None
    data: str
    encoding: str


class _Data(BaseModel):
    model_config = _AS_WRITTEN

    endpoint_input: _Part | None = None
    endpoint_output: _Part | None = None


class _Metadata(BaseModel):
    model_config = _AS_WRITTEN

    event_id: str
    inference_time: datetime
    inference_id: str | None = None


class _Record(BaseModel):
    """A line of a capture file."""

    model_config = _AS_WRITTEN

    capture_data: _Data
    event_metadata: _Metadata


def _row(line: bytes, source: str, number: int, classes: tuple[str, ...] | None) -> tuple[Any, ...]:
    try:
        record = _Record.model_validate_json(line, strict=True)
    except ValidationError as error:
        raise _LineError(first_mistake(error)) from None
    request, answer = record.capture_data.endpoint_input, record.capture_data.endpoint_output
    if not request and not answer:
        raise _LineError("captureData has neither endpointInput nor endpointOutput")
    probabilities = _probabilities(answer) if answer else None
    if probabilities is not None and classes and len(probabilities) != len(classes):
        raise _LineError(f"{len(probabilities)} probabilities for {len(classes)} classes")
    best = max(range(len(probabilities)), key=probabilities.__getitem__) if probabilities else None
    place = _PLACE.search(source)
    return (
        _utc(record.event_metadata.inference_time),
        record.event_metadata.event_id,
        record.event_metadata.inference_id,
        place["variant"] if place else None,
        request.observed_content_type if request else None,
        Payload(request.data, request.encoding) if request else None,
        probabilities,
        None if best is None else classes[best] if classes else f"class {best}",
        math.nan if best is None or probabilities is None else probabilities[best],
        source,
        number,
    )


def _utc(time: datetime) -> datetime:
    known = time if time.tzinfo else time.replace(tzinfo=UTC)
    if not _EARLIEST <= known < _LATEST:
        raise _LineError(f"eventMetadata.inferenceTime is of the year {time.year}")
    return known.astimezone(UTC)


def _probabilities(answer: _Part) -> tuple[float, ...]:
    """The model's answer: a JSON list of numbers, or a line of CSV, perhaps as base64."""
    try:
        text = Payload(answer.data, answer.encoding).content.decode()
    except ValueError as error:
        raise _LineError(f"captureData.endpointOutput.data is not {answer.encoding} ({error})") from None
    try:
        values = _values(text)
        while isinstance(values, list) and len(values) == 1 and isinstance(values[0], list):
            values = values[0]  # a batch of one
        numbers = _PROBABILITIES.validate_python(values)
    except ValueError:  # pydantic's errors are some
        raise _LineError(f"the answer {text[:60]!r} is not a list of probabilities") from None
    if abs(sum(numbers) - 1) > _ROUNDED:
        raise _LineError(f"the answer {text[:60]!r} sums to {sum(numbers):.3g}: no probabilities")
    return numbers


def _values(text: str) -> Any:
    """Of JSON, or of a line of CSV. Raises ValueError when it is neither."""
    try:
        return from_json(text)
    except ValueError:
        return [float(part) for part in text.split(",")]


def _s3_files(s3: Any, uri: str, later: _Later) -> Iterator[tuple[str, bytes]]:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if prefix and not prefix.endswith((_SUFFIX, "/")):
        prefix += "/"  # the folder `scones-1`, and not `scones-10` as well
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    listed = sorted(item["Key"] for page in pages for item in page.get("Contents", []))
    keys = [key for key in listed if key.endswith(_SUFFIX) and later.file(key)]

    def fetch(key: str) -> tuple[str, bytes] | None:
        try:
            return f"s3://{bucket}/{key}", s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:  # it has reached the end of its life since the listing
            return None

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        for start in range(0, len(keys), _DOWNLOADS):  # no more are held than are fetched at once
            yield from filter(None, pool.map(fetch, keys[start : start + _DOWNLOADS]))


def _local_files(folder: Path, later: _Later) -> Iterator[tuple[str, bytes]]:
    if not folder.exists():
        raise CaptureError(f"{folder} does not exist.")
    for path in [folder] if folder.is_file() else sorted(folder.rglob(f"*{_SUFFIX}")):
        name = os.fsencode(path.as_posix()).decode(errors="replace")
        if later.file(name):
            yield name, path.read_bytes()


def _nothing(source: str | Path, files: int, malformed: list[Malformed]) -> str:
    if malformed:
        return f"{source}: none of {len(malformed)} lines is a capture record; {malformed[0]}"
    if files:
        return f"{source}: the {files} capture files are empty"
    return (
        f"{source} holds no capture files (*{_SUFFIX}): was the endpoint asked anything, and is its data "
        "capture on? Records arrive some seconds to minutes after the request"
    )
