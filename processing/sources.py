"""Where an archive can come from: a path, `file://`, `http(s)://`, `s3://`, or `cifar100` by name."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from processing.cifar100 import OFFICIAL_BASE, OFFICIAL_PYTHON
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


@dataclass(frozen=True)
class HttpSource:
    """An archive behind HTTP; proxies come from the environment (`HTTPS_PROXY`, `NO_PROXY`)."""

    uri: str
    timeout: float = TIMEOUT_SECONDS

    @property
    def name(self) -> str:
        return PurePosixPath(urllib.parse.urlsplit(self.uri).path).name or "archive"

    def open(self, start: int = 0, version: str | None = None, unless: str | None = None) -> Transfer:
        request = urllib.request.Request(self.uri, headers=_http_headers(start, version, unless))  # noqa: S310
        try:
            # An opener of our own: the module's is made once, with the proxies of that moment.
            answer = urllib.request.build_opener().open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 304:
                raise UnchangedError from None
            sentence = f"{self.uri} answered {error.code} {error.reason}"
            if error.code in RETRIED_STATUSES:
                raise TransferError(sentence) from None
            raise SourceError(sentence) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise TransferError(f"{self.uri} cannot be reached: {reason}") from None
        return _http_transfer(self, answer, start)


class _HttpStream:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer

    def read(self, size: int, /) -> bytes:
        try:
            return self._answer.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise TransferError(f"{type(error).__name__}: {error}") from None

    def close(self) -> None:
        self._answer.close()


def _http_headers(start: int, version: str | None, unless: str | None) -> dict[str, str]:
    # "identity": the archive's own bytes are what the checksum is over.
    headers = {"User-Agent": "scones", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version and not version.startswith("W/"):  # RFC 9110, 13.1.5: a weak tag may not be used here
            headers["If-Range"] = version
    if unless:
        headers["If-None-Match" if unless.endswith('"') else "If-Modified-Since"] = unless
    return headers


def _http_transfer(source: HttpSource, answer: http.client.HTTPResponse, start: int) -> Transfer:
    length = answer.headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else None
    begins = 0
    if answer.status == 206:
        # Content-Range: bytes 100-999/1000
        span, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = span.partition("-")[0]
        if not first.isdigit() or int(first) > start:
            answer.close()
            raise SourceError(f"{source.uri} answered another range than the one asked for")
        begins, size = int(first), int(total) if total.isdigit() else None
    version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    return Transfer(_HttpStream(answer), begins, size, version)


@dataclass(frozen=True)
class S3Source:
    """An object on S3, or on whatever `AWS_ENDPOINT_URL` names."""

    uri: str
    bucket: str
    key: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    def open(self, start: int = 0, version: str | None = None, unless: str | None = None) -> Transfer:
        from botocore.exceptions import BotoCoreError, ClientError

        request: dict[str, Any] = {"Bucket": self.bucket, "Key": self.key}
        if start:
            request["Range"] = f"bytes={start}-"
        if version:
            request["IfMatch"] = version
        if unless:
            request["IfNoneMatch"] = unless
        try:
            answer = _s3_client().get_object(**request)
        except ClientError as error:
            raise _s3_error(self.uri, error) from None
        except BotoCoreError as error:
            raise SourceError(f"{self.uri} cannot be read: {error}") from None
        size = start + answer["ContentLength"]
        return Transfer(_S3Stream(answer["Body"]), start, size, answer.get("ETag"))


class _S3Stream:
    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int, /) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        try:
            return self._body.read(size)
        except (BotoCoreError, HTTPError, OSError) as error:
            raise TransferError(f"{type(error).__name__}: {error}") from None

    def close(self) -> None:
        self._body.close()


def _s3_client() -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise SourceError("an s3:// source needs boto3, which is not installed here") from None
    config = Config(
        connect_timeout=TIMEOUT_SECONDS,
        read_timeout=TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 5},
    )
    return boto3.client("s3", config=config)


def _s3_error(uri: str, error: Any) -> Exception:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    details = error.response.get("Error", {})
    if status == 304:
        return UnchangedError()
    if status in RETRIED_STATUSES:
        return TransferError(f"{uri} answered {status} {details.get('Code')}")
    if status == 412:
        return ReplacedError(uri)
    return SourceError(f"{uri} cannot be read: {details.get('Code')}: {details.get('Message')}")


def resolve(text: str, mirror: str | None = None) -> tuple[LocalSource | RemoteSource, str | None]:
    """The source that `--source` names, and its md5 where that is known beforehand.

    `cifar100` is the official python version, fetched from `mirror` (a folder in any form that a source can
    have) where one is given. Raises `SourceError` for an unknown scheme or a file that is not there.
    """
    if text == "cifar100":
        base = mirror or os.environ.get("SCONES_MIRROR") or OFFICIAL_BASE
        return _source(base.rstrip("/") + "/" + OFFICIAL_PYTHON.file_name), OFFICIAL_PYTHON.md5
    return _source(text), None


def _source(text: str) -> LocalSource | RemoteSource:
    parts = urllib.parse.urlsplit(text)
    if parts.scheme in ("http", "https"):
        if not parts.hostname:
            raise SourceError(f"{text} names no host")
        return HttpSource(text)
    if parts.scheme == "s3":
        if not parts.netloc or not parts.path.strip("/"):
            raise SourceError(f"{text} is not s3://bucket/key")
        return S3Source(text, parts.netloc, text.removeprefix(f"s3://{parts.netloc}/"))
    if parts.scheme == "file":
        return _local(Path(urllib.request.url2pathname(parts.path)))
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
