"""Where an archive can come from: a path, `file://`, `http(s)://`, `s3://`, or `cifar100` by name."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from processing.cifar100 import OFFICIAL_BASE, OFFICIAL_FILE, OFFICIAL_MD5
from processing.job import JobError

TIMEOUT_SECONDS = 30.0  # to connect, and between two pieces
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class SourceError(JobError):
    """The archive cannot be had; trying again would not help."""


class ReplacedError(SourceError):
    """The archive changed between two of its pieces."""

    def __init__(self, uri: str) -> None:
        super().__init__(f"{uri} was replaced while it was being read; start again")


class TransferError(Exception):
    """A transfer failed in a way that often passes: worth another try."""


class UnchangedError(Exception):
    """The server says that what the caller already has is current."""


def usable_version(value: object) -> str | None:
    """An entity tag or date that can be sent back in a header; None for anything else."""
    if isinstance(value, str) and value.isprintable() and max(value, default="\0") <= "\xff":
        return value or None
    return None


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Transfer:
    """An open transfer.

    Attributes:
        stream: gives the bytes from `start` on.
        start: 0 where the server does not do ranges.
        size: of the whole archive in bytes, where the server says.
        version: an entity tag or date that changes when the archive does, where the server says.
    """

    stream: Stream
    start: int
    size: int | None
    version: str | None


class RemoteSource(Protocol):
    @property
    def uri(self) -> str: ...

    @property
    def name(self) -> str: ...

    def open(self, start: int = 0, version: str | None = None, unless: str | None = None) -> Transfer:
        """Open at byte `start`, of `version` if given; raise `UnchangedError` if it still is `unless`."""


@dataclass(frozen=True)
class LocalSource:
    """A file on this machine."""

    path: Path

    @property
    def uri(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        return self.path.name


def resolve(text: str, mirror: str | None = None) -> tuple[LocalSource | RemoteSource, str | None]:
    """The source that `--source` names, and its md5 where that is known beforehand.

    `cifar100` is the official python version, fetched from `mirror` (a folder in any form that a source can
    have) where one is given. Raises `SourceError` for an unknown scheme or a file that is not there.
    """
    if text == "cifar100":
        base = mirror or os.environ.get("SCONES_MIRROR") or OFFICIAL_BASE
        return _source(base.rstrip("/") + "/" + OFFICIAL_FILE), OFFICIAL_MD5
    return _source(text), None


def _source(text: str) -> LocalSource | RemoteSource:
    if not text:
        raise SourceError("the source is empty; it is a path, a URL, s3://bucket/key or cifar100")
    try:
        parts = urllib.parse.urlsplit(text)
        parts.port  # noqa: B018 - looked at, since a wrong one is only noticed here
    except ValueError as error:
        raise SourceError(f"{text} is no URL: {error}") from None
    if parts.scheme in ("http", "https"):
        if not parts.hostname:
            raise SourceError(f"{text} names no host")
        if not text.isascii() or any(character.isspace() for character in text):
            raise SourceError(
                f"{text} is no URL: spaces and letters beyond ASCII are written as %20 and the like"
            )
        from processing.http_source import HttpSource  # with its libraries, only where it is needed

        return HttpSource(text)
    if parts.scheme == "s3":
        if not parts.netloc or not parts.path.strip("/"):
            raise SourceError(f"{text} is not s3://bucket/key")
        from processing.s3_source import S3Source

        return S3Source(text, parts.netloc, text.removeprefix(f"s3://{parts.netloc}/"))
    if parts.scheme == "file":
        return _local(Path(urllib.parse.unquote(parts.path)))
    if "://" in text:
        raise SourceError(f"{text}: {parts.scheme}:// is not read here; use a path, file, http, https or s3")
    return _local(Path(text))


def _local(path: Path) -> LocalSource:
    if not path.exists():
        raise SourceError(
            f'there is no file "{path}"; a source is a path, a URL, s3://bucket/key or cifar100'
        )
    if path.is_dir():
        raise SourceError(f'"{path}" is a folder; the source is the archive itself')
    return LocalSource(path)
