"""The images of a batch run: a prefix in S3, a folder that is uploaded, or a manifest that lists keys."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from pipeline import objects
from pipeline.inference import ImageError, workflow_plan
from workflows.batch import MAX_IMAGES

if TYPE_CHECKING:
    from pipeline.settings import Settings

IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
MANIFESTS = (".jsonl", ".csv", ".txt")
LABELS = ".label.json"  # what a person said of an image, beside it
FIELDS = ("s3_key", "key", "source-ref")  # the last one in SageMaker's augmented manifests
UPLOADS = 8  # at a time


class SourceError(Exception):
    """A source that names no images, or none that the workflow may read."""


@dataclass(frozen=True)
class Images:
    """Keys in the bucket, each once; `repeated` says how many more there were, of the same."""

    keys: list[str]
    repeated: int = 0


OnUpload = Callable[[int, int], None]


def find(s3: Any, settings: Settings, source: str, on_upload: OnUpload = lambda *_: None) -> Images:
    """The images that a source names, in its order; those of a folder after their upload.

    Args:
        source: `s3://bucket/prefix`, a folder, or a manifest in either place: JSON lines, CSV or text.
        on_upload: hears how many of how many files are there.

    Raises:
        SourceError: there is no image, more than a run takes, or one that the workflow may not read.
    """
    if source.startswith("s3://"):
        bucket, key = objects.split(source)
        if not key.endswith(MANIFESTS):
            return _checked(source, _listed(s3, settings, bucket, key))
        text = objects.read_if_there(s3, source)
        if text is None:
            raise SourceError(f"there is no manifest {source}")
        return _checked(source, _named(settings, source, text))
    path = Path(source)
    if path.is_dir():
        return _checked(source, _uploaded(s3, settings, path, on_upload))
    if not path.is_file():
        raise SourceError(f"{source} is no folder, no manifest and no s3:// address")
    if path.suffix.lower() in IMAGES:
        raise SourceError(f"{source} is one image: run `scones workflow run {source}`")
    if path.suffix.lower() not in MANIFESTS:
        raise SourceError(f"{source} is no manifest: its name must end in {', '.join(MANIFESTS)}")
    return _checked(source, _named(settings, source, path.read_bytes()))


def _checked(source: str, keys: Iterable[str]) -> Images:
    found: dict[str, None] = {}
    repeated = 0
    for key in keys:
        repeated += key in found
        found[key] = None
        if len(found) > MAX_IMAGES:
            raise SourceError(f"{source} names more than {MAX_IMAGES:,} images, which is what a run takes")
    if not found:
        raise SourceError(f"{source} names no image")
    return Images(list(found), repeated)


def _listed(s3: Any, settings: Settings, bucket: str, prefix: str) -> Iterator[str]:
    _allow(settings, f"s3://{bucket}/{prefix}", bucket, prefix)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            if not item["Key"].endswith(("/", LABELS)):
                yield item["Key"]


def _allow(settings: Settings, where: str, bucket: str, key: str) -> str:
    place = workflow_plan(settings).images_prefix
    if bucket != settings.bucket or not key.startswith(place):
        raise SourceError(f"{where} is not under s3://{settings.bucket}/{place}, where images are read from")
    return key


def _named(settings: Settings, source: str, content: bytes) -> Iterator[str]:
    """The keys of a manifest; an error says which line it is in."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{source} is no text in UTF-8") from None
    rows = _csv_rows(text) if source.endswith(".csv") else _line_rows(text, source)
    try:
        for number, bucket, key in rows:
            bucket = bucket or settings.bucket
            yield _allow(settings, f"s3://{bucket}/{key} in line {number} of {source}", bucket, key)
    except csv.Error as error:
        raise SourceError(f"{source} is no CSV: {error}") from None


def _csv_rows(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, bucket and key. The column is what a header names; without one, S3 Inventory's bucket and key."""
    rows = csv.reader(io.StringIO(text))
    column: int | None = None
    for row in rows:
        if rows.line_num == 1:
            column = next((place for place, name in enumerate(row) if name in FIELDS), None)
            if column is not None:
                continue
        if column is not None and row:
            yield rows.line_num, *_split(row[column] if column < len(row) else "")
        elif len(row) == 1:
            yield rows.line_num, *_split(row[0])
        elif row:
            yield rows.line_num, row[0], unquote_plus(row[1])


def _line_rows(text: str, source: str) -> Iterator[tuple[int, str, str]]:
    """Line, bucket and key of an address, a key, or a JSON value that holds either."""
    for number, line in enumerate(text.splitlines(), 1):
        value: Any = line.strip()
        bucket: Any = ""
        if value.startswith(("{", '"')):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise SourceError(f"line {number} of {source} is no JSON") from None
            if isinstance(value, dict):
                bucket = value.get("s3_bucket") or ""
                value = next((value[name] for name in FIELDS if name in value), None)
            if not isinstance(value, str) or not isinstance(bucket, str):
                raise SourceError(f"line {number} of {source} has none of {', '.join(FIELDS)}")
        if value:
            named, key = _split(value)
            yield number, named or bucket, key


def _split(value: str) -> tuple[str, str]:
    return objects.split(value) if value.startswith("s3://") else ("", value)


def _uploaded(s3: Any, settings: Settings, folder: Path, on_upload: OnUpload) -> Iterator[str]:
    """Puts those of the folder's images there that are not: an upload that was cut off goes on.

    Keys have the content's digest: an ETag is none where KMS encrypts, and another folder may have the name.
    """
    place = f"{workflow_plan(settings).images_prefix}{folder.resolve().name or 'images'}/"
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGES and path.is_file() and not path.name.startswith(".")
    )
    if len(files) > MAX_IMAGES:
        raise SourceError(f"{folder} holds more than {MAX_IMAGES:,} images, which is what a run takes")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=settings.bucket, Prefix=place)
    there = {item["Key"] for page in pages for item in page.get("Contents", [])}

    def upload(path: Path) -> str:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ImageError(f"{path}: {error.strerror}") from None
        key = f"{place}{hashlib.sha256(data).hexdigest()[:16]}/{path.relative_to(folder).as_posix()}"
        if key not in there:
            s3.put_object(Bucket=settings.bucket, Key=key, Body=data)
        return key

    with ThreadPoolExecutor(UPLOADS) as pool:
        for done, key in enumerate(pool.map(upload, files), 1):
            on_upload(done, len(files))
            yield key
