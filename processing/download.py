"""A remote archive's bytes from front to back, through cuts."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from processing.job import shown
from processing.sources import RemoteSource, ReplacedError, SourceError, TransferError
from processing.stream import MAX_ARCHIVE_BYTES, TooLargeError

CHUNK_BYTES = 1 << 20
ATTEMPTS = 6  # in a row without a byte between them
FIRST_WAIT_SECONDS = 0.5


@dataclass
class Download:
    """How far a download is; filled while it runs."""

    size: int | None = None
    version: str | None = None


def read_through_cuts(
    source: RemoteSource,
    state: Download,
    start: int = 0,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[bytes]:
    """The bytes of `source` from `start` on. Where a transfer breaks, the next one goes on from there.

    `state.version` says which version the bytes before `start` are of.
    Raises `ReplacedError` when the archive changes meanwhile, `TooLargeError` when its size is no archive's,
    and `SourceError` when it is not there or breaks `ATTEMPTS` times without a byte.
    """
    position, failures = start, 0
    while True:
        try:
            transfer = source.open(position, state.version)
            with closing(transfer.stream):
                check_size(source.name, transfer.size or 0)
                _check_same(source, state, transfer.size, transfer.version, begun=position > 0)
                skip = position - transfer.start  # what a server without ranges sends again
                while chunk := transfer.stream.read(CHUNK_BYTES):
                    if skip:
                        skipped = min(skip, len(chunk))
                        skip -= skipped
                        chunk = chunk[skipped:]
                    if chunk:
                        position += len(chunk)
                        failures = 0
                        yield chunk
            if state.size is None or position >= state.size:
                if skip:  # it ended within what is here already
                    raise ReplacedError(source.uri)
                return
            raise TransferError(
                f"{source.uri}: the connection ended after {position:,} of {state.size:,} bytes"
            )
        except TransferError as error:
            failures += 1
            if failures == ATTEMPTS:
                raise SourceError(f"gave up at byte {position:,} after {failures} tries: {error}") from None
            pause = FIRST_WAIT_SECONDS * 2 ** (failures - 1) * random.uniform(0.5, 1.5)  # noqa: S311
            going_on = f"going on from byte {position:,} in {pause:.1f} s"
            print(f"{shown(str(error))}; {going_on}", file=sys.stderr, flush=True)
            wait(pause)


def check_size(name: str, size: int) -> None:
    """Refuse an archive of that many bytes: a body without an end would fill the disk that it is kept on."""
    if size > MAX_ARCHIVE_BYTES:
        raise TooLargeError(f"{name} has more than {MAX_ARCHIVE_BYTES >> 30} GiB, which is not read")


def _check_same(
    source: RemoteSource, state: Download, size: int | None, version: str | None, begun: bool
) -> None:
    sizes_differ = None not in (state.size, size) and state.size != size
    if begun and (state.version != version or sizes_differ):
        raise ReplacedError(source.uri)
    state.size, state.version = size, version
