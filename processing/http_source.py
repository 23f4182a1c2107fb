"""An archive behind HTTP, with ranges, entity tags and time limits."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import PurePosixPath

from processing.sources import (
    RETRIED_STATUSES,
    TIMEOUT_SECONDS,
    SourceError,
    Transfer,
    TransferError,
    UnchangedError,
    usable_version,
)


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
            if error.code == 416 and start:  # it has no such byte, or does ranges wrongly: all of it again
                return self.open(0, version, unless)
            reason = str(error.reason).partition("\n")[0]  # the one of a redirect loop has several lines
            sentence = f"{self.uri} answered {error.code} {reason}"
            if error.code in RETRIED_STATUSES:
                raise TransferError(sentence) from None
            raise SourceError(sentence) from None
        except ValueError as error:  # of a redirect
            raise SourceError(f"{self.uri} leads to what is no URL: {error}") from None
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", None) or error
            raise TransferError(f"{self.uri} cannot be reached: {cause}") from None
        return _http_transfer(self, answer, start)


class _HttpStream:
    def __init__(self, uri: str, answer: http.client.HTTPResponse) -> None:
        self._uri = uri
        self._answer = answer
        self._cut: TransferError | None = None

    def read(self, size: int, /) -> bytes:
        if self._cut:
            raise self._cut
        try:
            return self._answer.read(size)
        except (OSError, http.client.HTTPException) as error:
            self._cut = TransferError(f"{self._uri}: {type(error).__name__}: {error}")
            if isinstance(error, http.client.IncompleteRead) and error.partial:
                return error.partial
            raise self._cut from None

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
    size = _whole(length)
    begins = 0
    if answer.status == 206:
        # Content-Range: bytes 100-999/1000
        span, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = span.partition("-")[0]
        found = _whole(first)
        if found is None or found > start:
            answer.close()
            raise SourceError(f"{source.uri} answered another range than the one asked for")
        begins, size = found, _whole(total)
    tags = (usable_version(answer.headers.get(name)) for name in ("ETag", "Last-Modified"))
    return Transfer(_HttpStream(source.uri, answer), begins, size, next(filter(None, tags), None))


def _whole(text: str) -> int | None:
    """A header's number: ASCII digits and nothing else, not too many."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
