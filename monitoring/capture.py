"""SageMaker's data capture files as one pandas table.

A capture file is JSON lines, one record a request, several a file; files lie under
`<destination>/<endpoint>/<variant>/YYYY/MM/DD/HH/`. A line that is no record is named, never fatal.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

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
_VARIANT = re.compile(r"([^/]+)/\d{4}/\d{2}/\d{2}/\d{2}/[^/]+$")
_DOWNLOADS = 8


class CaptureError(Exception):
    """There is nothing to read where captures were expected."""


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

    def image(self) -> Image.Image | None:
        """The PNG or JPEG image as RGB; None when it is not one."""
        try:
            with Image.open(io.BytesIO(self.content), formats=("PNG", "JPEG")) as image:
                return image.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None


@dataclass(frozen=True)
class Malformed:
    """A line that is no record: where it is, and why."""

    source: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}: {self.reason}"


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
        return self._kept(~self.table["inference_id"].isin(list(inference_ids)))

    def since(self, moment: datetime) -> Captures:
        """The same without the records before `moment`, which knows its time zone.

        SageMaker writes whole seconds: what is of the same second counts as later.
        """
        return self._kept(self.table["time"] >= pd.Timestamp(moment).floor("s"))

    def _kept(self, rows: pd.Series[bool]) -> Captures:
        return Captures(self.table[rows].reset_index(drop=True), self.files, self.malformed, self.classes)


def read_captures(source: str | Path, *, s3: Any = None, classes: Sequence[str] | None = None) -> Captures:
    """Reads all capture files below an S3 prefix (`s3://bucket/prefix`, with a boto3 client) or a folder.

    `classes` names the probabilities, in their order; without, they are `class 0`, `class 1`, …
    A record with another number of probabilities counts as malformed.

    Raises:
        CaptureError: no capture file, or no line in them that is a record.
    """
    rows: list[tuple[Any, ...]] = []
    malformed: list[Malformed] = []
    files = 0
    expected = tuple(classes) if classes else None
    for name, content in _s3_files(s3, str(source)) if _is_s3(source) else _local_files(Path(source)):
        files += 1
        for number, line in enumerate(content.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row = _row(line, name, number, expected)
            except _LineError as error:
                malformed.append(Malformed(name, number, str(error)))
                continue
            rows.append(row)
            if expected is None and row[6]:
                expected = tuple(f"class {index}" for index in range(len(row[6])))
    if not rows:
        raise CaptureError(_nothing(source, files, malformed))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["time"] = pd.to_datetime(table["time"], utc=True)
    table = table.sort_values("time", kind="stable", ignore_index=True)
    return Captures(table, files, tuple(malformed), expected or ())


def _row(line: bytes, source: str, number: int, classes: tuple[str, ...] | None) -> tuple[Any, ...]:
    record = _parse(line)
    captured, metadata = record["captureData"], record["eventMetadata"]
    request, answer = captured.get("endpointInput"), captured.get("endpointOutput")
    try:
        time = datetime.fromisoformat(metadata["inferenceTime"])
        event_id = metadata["eventId"]
        payload = Payload(request["data"], request["encoding"]) if request else None
        content_type = request["observedContentType"] if request else None
        probabilities = _probabilities(answer) if answer else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _LineError(_reason(error)) from error
    if probabilities is not None and classes and len(probabilities) != len(classes):
        raise _LineError(f"{len(probabilities)} probabilities for {len(classes)} classes")
    best = max(range(len(probabilities)), key=probabilities.__getitem__) if probabilities else None
    variant = _VARIANT.search(source)
    return (
        time,
        event_id,
        metadata.get("inferenceId"),
        variant[1] if variant else None,
        content_type,
        payload,
        probabilities,
        None if best is None else classes[best] if classes else f"class {best}",
        math.nan if best is None or probabilities is None else probabilities[best],
        source,
        number,
    )


def _parse(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise _LineError(f"not JSON ({error})") from error
    if not isinstance(record, dict):
        raise _LineError("not a JSON object")
    for member in ("captureData", "eventMetadata"):
        if not isinstance(record.get(member), dict):
            raise _LineError(f"{member} is missing")
    return record


def _probabilities(answer: dict[str, Any]) -> tuple[float, ...]:
    """The model's answer: a JSON list of numbers, or a line of CSV, perhaps as base64."""
    text = Payload(answer["data"], answer["encoding"]).content.decode()
    try:
        values = json.loads(text)
    except ValueError:
        values = text.strip().split(",")
    while isinstance(values, list) and len(values) == 1 and isinstance(values[0], list):
        values = values[0]  # a batch of one
    if not isinstance(values, list) or not values:
        raise ValueError(f"the answer {text[:60]!r} is not a list of probabilities")
    numbers = tuple(float(value) for value in values)
    if not all(0 <= number <= 1 for number in numbers):
        raise ValueError(f"the answer {text[:60]!r} has numbers that are no probabilities")
    return numbers


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, binascii.Error):
        return f"data is not base64 ({error})"
    return str(error)


def _is_s3(source: str | Path) -> bool:
    return str(source).startswith("s3://")


def _s3_files(s3: Any, uri: str) -> Iterator[tuple[str, bytes]]:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if prefix and not prefix.endswith((_SUFFIX, "/")):
        prefix += "/"  # the folder `scones-1`, and not `scones-10` as well
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]

    def fetch(key: str) -> tuple[str, bytes]:
        return f"s3://{bucket}/{key}", s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        yield from pool.map(fetch, (key for key in sorted(keys) if key.endswith(_SUFFIX)))


def _local_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    if not folder.exists():
        raise CaptureError(f"{folder} does not exist.")
    for path in [folder] if folder.is_file() else sorted(folder.rglob(f"*{_SUFFIX}")):
        yield path.as_posix(), path.read_bytes()


def _nothing(source: str | Path, files: int, malformed: list[Malformed]) -> str:
    if malformed:
        return f"{source}: none of {len(malformed)} lines is a capture record; {malformed[0]}"
    if files:
        return f"{source}: the {files} capture files are empty"
    return (
        f"{source} holds no capture files (*{_SUFFIX}): was the endpoint asked anything, and is its data "
        "capture on? Records arrive some seconds to minutes after the request"
    )
