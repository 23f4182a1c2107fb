"""A pickle's bytes, read through a buffer that believes no length beyond the member's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from processing.job import UnreadableError

BUFFER_BYTES = 1 << 16
OPERAND_BYTES = 8
PIECE_BYTES = 1 << 18
# All but large values, which are not read through the buffer. 50,000 records have 5 MB in the most verbose
# form. Python may hold a text in four times its bytes.
MAX_BUFFERED_BYTES = 16 << 20


class PickleContentError(UnreadableError):
    """The pickle is damaged, or asks for something that plain data does not need."""


class Reader(Protocol):
    """A binary stream, such as a tar member's."""

    def read(self, size: int, /) -> bytes: ...

    def readinto(self, target: memoryview, /) -> int | None: ...


class PickleInput:
    """A buffered stream that knows how much can still come, so that no length is believed beyond it.

    Attributes:
        buffer, at: what was read ahead, and how far of it was used. After `operation`, `OPERAND_BYTES` of it
            are left, unless the stream ends sooner: for those who cannot afford a call of `take`.
    """

    def __init__(self, stream: Reader, size: int) -> None:
        self._stream = stream
        self._size = size
        self._unread = size
        self._buffered = 0
        self.buffer = b""
        self.at = 0

    @property
    def position(self) -> int:
        return self._size - self._unread - (len(self.buffer) - self.at)

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes."""
        end = self.at + count
        if end > len(self.buffer):
            self._fill(count)
            end = count
        piece = self.buffer[self.at : end]
        self.at = end
        return piece

    def operation(self) -> int:
        """The next operation's code."""
        at = self.at
        if at + OPERAND_BYTES >= len(self.buffer):
            self._fill(min(1 + OPERAND_BYTES, self._left()))
            at = self.at
        self.at = at + 1
        return self.buffer[at]

    def byte(self) -> int:
        at = self.at
        if at == len(self.buffer):
            self._fill(1)
            at = 0
        self.at = at + 1
        return self.buffer[at]

    def line(self) -> str:
        text = bytearray()
        while (byte := self.byte()) != 0x0A:
            text.append(byte)
            if len(text) > 256:
                raise PickleContentError("a name of more than 256 characters")
        return text.decode("ascii", "replace")

    def pieces(self, count: int) -> Iterator[bytes]:
        """Exactly `count` bytes, in pieces, held by nobody."""
        self.check(count)
        while count:
            at_hand = len(self.buffer) - self.at
            piece = self.take(min(count, at_hand)) if at_hand else self._read(min(count, PIECE_BYTES))
            count -= len(piece)
            yield piece

    def _read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        if not piece:
            raise PickleContentError(f"ends after {self._size - self._unread:,} bytes")
        self._unread -= len(piece)
        return piece

    def take_large(self, count: int) -> memoryview:
        """Exactly `count` bytes, without holding any of them twice."""
        self.check(count)
        # numpy asks for huge pages, which makes the first touch of much memory far cheaper.
        target = np.empty(count, np.uint8).data
        filled = min(count, len(self.buffer) - self.at)
        target[:filled] = self.buffer[self.at : self.at + filled]
        self.at += filled
        while filled < count:
            got = self._stream.readinto(target[filled:])
            if not got:
                raise PickleContentError(f"ends after {self._size - self._unread:,} bytes")
            filled += got
            self._unread -= got
        return target

    def check(self, count: int) -> None:
        """Whether so many bytes can still come. Raises `PickleContentError`."""
        left = self._left()
        if count > left:
            raise PickleContentError(f"a value of {count:,} bytes where {left:,} are left")

    def _left(self) -> int:
        return max(self._unread + len(self.buffer) - self.at, 0)

    def _fill(self, count: int) -> None:
        self.check(count)
        rest = self.buffer[self.at :]
        pieces = [rest]
        have = len(rest)
        while have < count:
            piece = self._read(min(max(count - have, BUFFER_BYTES), self._unread))
            have += len(piece)
            pieces.append(piece)
        self._buffered += have - len(rest)
        if self._buffered > MAX_BUFFERED_BYTES:
            raise PickleContentError(f"holds more than {MAX_BUFFERED_BYTES >> 20} MiB beside its table")
        self.buffer = b"".join(pieces)
        self.at = 0
