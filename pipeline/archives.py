"""The archive of an execution: drawn, brought by a person, or fetched by the job itself."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.settings import Settings

SYNTHETIC = "synthetic"
SEED = 0


class ArchiveError(Exception):
    """What was given as data is no archive that can be had."""


@dataclass(frozen=True)
class Archive:
    """The data of a run.

    Attributes:
        kind: synthetic, file or remote.
        source: what PrepareData is given: an S3 URI, a URL, or `cifar100`.
    """

    kind: str
    source: str


def kind_of(data: str) -> str:
    """synthetic, file or remote.

    Raises:
        ArchiveError: it is none of them.
    """
    if data == SYNTHETIC:
        return SYNTHETIC
    if data == "cifar100" or re.match(r"(https?|s3)://", data):
        return "remote"
    if Path(data).is_file():
        return "file"
    what = "a folder" if Path(data).is_dir() else "no file"
    raise ArchiveError(f"{data} is {what}; data is {SYNTHETIC}, cifar100, a URL or a path to an archive")


def provide(s3: Any, settings: Settings, data: str, folder: Path) -> Archive:
    """Uploads what is on this machine under its digest; what is not, the job fetches as it would on AWS.

    Args:
        data: `synthetic`, `cifar100`, a URL (`http(s)://`, `s3://`), or a path.
        folder: where a drawn archive is written.
    """
    kind = kind_of(data)
    if kind == "remote":
        return Archive(kind, data)
    path = draw(settings, folder) if kind == SYNTHETIC else Path(data)
    return Archive(kind, upload(s3, settings, path))


def draw(settings: Settings, folder: Path) -> Path:
    """Draws the archive of bicycles and motorcycles, the same each time."""
    from processing.synthetic import write_archive

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "synthetic-cifar-100-python.tar.gz"
    write_archive(path, seed=SEED, classes=settings.classes)
    return path


def upload(s3: Any, settings: Settings, path: Path) -> str:
    """Puts the archive at `archives/<sha256>/<file name>` and returns its URI."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = re.sub(r"[^\w.-]+", "-", path.name)[-80:]  # a job's argument has 256 characters at most
    key = f"{settings.prefix}/archives/{digest}/{name}"
    s3.upload_file(str(path), settings.bucket, key)
    return f"s3://{settings.bucket}/{key}"
