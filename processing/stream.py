"""From compressed chunks to a forward-only file of their content, in one pass.

Reading with hashing, gunzip and whatever the caller does run side by side: zlib, ISA-L and hashlib
let go of Python's lock while they work.
"""

from __future__ import annotations

import gzip
import io
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any

from processing.deflate import GzipFile, deflate
from processing.job import UnreadableError

OUTPUT_CHUNK = 1 << 20
QUEUED_CHUNKS = 4
STOP_SECONDS = 1.0
GZIP_MAGIC = b"\x1f\x8b"
SHOWN_BYTES = 16
# Packed or unpacked: twenty times CIFAR-100, or a thousand photographs as cameras make them. More is a bomb.
MAX_ARCHIVE_BYTES = 4 << 30


class CompressedDataError(UnreadableError):
    """The archive is no gzip file, a damaged or a truncated one, or one that unpacks without end."""


class TooLargeError(UnreadableError):
    """The archive has more bytes than any that is meant, or no end."""


def gunzip(chunks: Iterable[bytes], name: str) -> Generator[bytes, None, None]:
    """The content of a gzip file of one member or several, in pieces of at most 1 MiB.

    Raises `CompressedDataError`; `name` is for its message.
    """
    source = _ChunkFile(chunks)
    unpacked = 0
    try:
        with GzipFile(fileobj=source, mode="rb") as file:
            while piece := file.read(OUTPUT_CHUNK):
                unpacked += len(piece)
                if unpacked > MAX_ARCHIVE_BYTES:
                    raise CompressedDataError(
                        f"{name} unpacks to more than {MAX_ARCHIVE_BYTES >> 30} GiB, which is not read"
                    )
                yield piece
    # ISA-L's OverflowError is of a header without end.
    except (gzip.BadGzipFile, EOFError, OverflowError, deflate.error) as error:
        raise CompressedDataError(f"{name} {_damage(error, source)}") from None
    if not source.read_bytes:
        raise CompressedDataError(f"{name} is empty")


def _damage(error: Exception, source: _ChunkFile) -> str:
    if not source.start.startswith(GZIP_MAGIC):
        return f"is not a gzip file: it starts with {source.start!r}"
    if isinstance(error, EOFError):
        return f"is cut short: its compressed data ends after {source.read_bytes:,} bytes"
    return f"is damaged near its byte {source.read_bytes:,}"


class _ChunkFile(io.RawIOBase):
    """Chunks as the file that a reader of gzip asks for.

    Attributes:
        read_bytes: how many were read.
        start: the first of them, 16 at most.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self.read_bytes = 0
        self.start = b""
        self._chunks = filter(None, chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        """Fill `target` as far as the chunk at hand goes; 0 at the end."""
        if not self._rest:
            chunk = next(self._chunks, b"")
            self.start += chunk[: SHOWN_BYTES - len(self.start)]
            self._rest = memoryview(chunk)
        part = self._rest[: len(target)]
        target[: len(part)] = part
        self._rest = self._rest[len(part) :]
        self.read_bytes += len(part)
        return len(part)


class Background(Iterator[bytes]):
    """The same items, made ahead of time by a thread of their own; errors arrive in their place.

    The thread begins at once. Closing stops it and closes `items` in it.
    """

    def __init__(self, items: Generator[bytes, None, None], ahead: int = QUEUED_CHUNKS) -> None:
        """`ahead` is how many items may wait to be taken."""
        self._items = items
        self._made: queue.Queue[bytes | BaseException] = queue.Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._make, daemon=True)
        self._thread.start()

    def __next__(self) -> bytes:
        if self._stopped.is_set():
            raise StopIteration
        item = self._made.get()
        if isinstance(item, BaseException):
            self._stopped.set()
            raise item
        return item

    def close(self) -> None:
        self._stopped.set()
        # Not for longer: it may wait for a network that no longer answers, and it dies with the process.
        self._thread.join(STOP_SECONDS)

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self) -> None:
        try:
            with closing(self._items):
                for item in self._items:
                    if not self._put(item):
                        return
            self._put(StopIteration())
        except BaseException as error:  # noqa: BLE001 - raised again where the items are used
            self._put(error)

    def _put(self, item: bytes | BaseException) -> bool:
        while not self._stopped.is_set():
            try:
                self._made.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False


class ForwardFile:
    """A binary file made of pieces, to be read once from front to end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end."""
        part = self._part(size)
        if len(part) == size:
            return bytes(part)
        parts = [part]
        size -= len(part)
        while size and (part := self._part(size)):
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def readinto(self, target: memoryview) -> int:
        """Fill `target`, less only at the end; how much it was."""
        filled = 0
        while filled < len(target) and (part := self._part(len(target) - filled)):
            target[filled : filled + len(part)] = part
            filled += len(part)
        return filled

    def skip(self, size: int) -> int:
        """Pass over `size` bytes, fewer only at the end; how many it were."""
        skipped = 0
        while skipped < size and (part := self._part(size - skipped)):
            skipped += len(part)
        return skipped

    def _part(self, size: int) -> memoryview:
        """What is at hand, at most `size` bytes; empty only at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        part = self._rest[:size]
        self._rest = self._rest[len(part) :]
        return part

    def drain(self) -> None:
        """Read to the end, so that checksums over the whole are complete."""
        self._rest = memoryview(b"")
        for _ in self._pieces:
            pass
