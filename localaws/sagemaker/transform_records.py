"""An object's content as the requests that a transform job makes of it.

Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_TransformInput.html
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

_MEGABYTE = 1 << 20


class RecordError(Exception):
    """The content cannot be sent: it is too large for one request, or not compressed as it should be."""


def payloads(content: bytes, *, lines: bool, many: bool, limit_mb: int) -> Iterator[bytes]:
    """The bodies of the requests, in order. Raises RecordError.

    Args:
        lines: a record is a line (SplitType Line), instead of the whole object.
        many: as many records as fit go into one request (MultiRecord), instead of one.
        limit_mb: MaxPayloadInMB; 0 is no limit.
    """
    limit = limit_mb * _MEGABYTE
    batch = bytearray()
    for record in _lines(content) if lines else [content]:
        if limit and len(record) > limit:
            raise RecordError(
                f"a record of {len(record):,} bytes is over the maximum payload of {limit_mb} MB"
            )
        if many and batch and (not limit or len(batch) + 1 + len(record) <= limit):
            batch += b"\n"
            batch += record
            continue
        if batch:
            yield bytes(batch)
        batch = bytearray(record)
    if batch:
        yield bytes(batch)


def decompressed(content: bytes, compression: str | None) -> bytes:
    """The content as it was before its CompressionType. Raises RecordError."""
    if compression != "Gzip":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise RecordError(f"it is not gzip: {error}") from error


def _lines(content: bytes) -> Iterator[bytes]:
    for line in content.split(b"\n"):
        if line.strip():
            yield line.removesuffix(b"\r")
