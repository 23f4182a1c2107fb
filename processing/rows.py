"""Picks rows out of a table of bytes as it streams by, so that the table is never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

SEGMENT = 1 << 15
ROWS_AT_ONCE = 16


class TableSizeError(ValueError):
    """A table is not as long as the labels beside it ask for."""


@dataclass(frozen=True)
class RowChoice:
    """Which rows to keep of a table of `count` rows of `width` bytes; `numbers` is int64, ascending.

    `take` gets them while the rest of the table streams by: how many came before, and uint8 [n, width].
    """

    numbers: np.ndarray
    count: int
    width: int
    take: Callable[[int, np.ndarray], None] = field(default=lambda _before, _rows: None, compare=False)

    @property
    def size(self) -> int:
        """Of the whole table, in bytes."""
        return self.count * self.width


@dataclass(frozen=True)
class PickedRows:
    """What was kept: `content` is uint8 [len(choice.numbers), width]."""

    choice: RowChoice
    content: np.ndarray


def pick_from_bytes(pieces: Iterable[bytes], choice: RowChoice) -> PickedRows:
    """`pieces` hold the whole table, one byte a byte."""
    width, starts = choice.width, (choice.numbers * choice.width).tolist()
    content = np.empty((len(starts), width), np.uint8)
    flat = content.reshape(-1)
    begin = row = taken = 0
    for piece in pieces:
        view = np.frombuffer(piece, np.uint8)
        end = begin + len(view)
        while row < len(starts) and starts[row] < end:
            low, high = max(starts[row], begin), min(starts[row] + width, end)
            into = row * width + low - starts[row]
            flat[into : into + high - low] = view[low - begin : high - begin]
            if starts[row] + width > end:
                break
            row += 1
        begin = end
        if row - taken >= ROWS_AT_ONCE:
            choice.take(taken, content[taken:row])
            taken = row
    choice.take(taken, content[taken:])
    return PickedRows(choice, content)


def pick_from_latin1(pieces: Iterable[bytes], choice: RowChoice) -> PickedRows:
    """`pieces` hold the whole table as UTF-8, one character a byte: only what is kept is decoded.

    Raises `TableSizeError` when the table is not `choice.size` characters long, `ValueError` when it is no
    such text.
    """
    starts = (choice.numbers * choice.width).tolist()
    content = np.empty((len(starts), choice.width), np.uint8)
    text = bytearray()  # what has come of the row that is next
    begin = row = taken = 0
    for segment in _segments(pieces):
        # A character begins at each byte but the continuation bytes, 0x80 to 0xBF: -128 to -65 when signed.
        begins = np.frombuffer(segment, np.int8) >= -64
        end = begin + int(np.count_nonzero(begins))
        if row < len(starts) and starts[row] < end:
            offsets = np.append(np.flatnonzero(begins), len(segment))
            while row < len(starts) and starts[row] < end:
                stop = starts[row] + choice.width
                low = offsets[starts[row] - begin] if starts[row] >= begin else 0
                text += segment[low : offsets[min(stop, end) - begin]]
                if stop >= end:  # its last character may go on in the next segment
                    break
                content[row] = _bytes_of(text)
                text.clear()
                row += 1
        begin = end
        if row - taken >= ROWS_AT_ONCE:
            choice.take(taken, content[taken:row])
            taken = row
    if begin != choice.size:
        raise TableSizeError(f"its table has {begin:,} bytes, and its labels ask for {choice.size:,}")
    if text:  # the table ends with a row that is kept
        content[row] = _bytes_of(text)
    choice.take(taken, content[taken:])
    return PickedRows(choice, content)


def _bytes_of(text: bytearray) -> np.ndarray:
    return np.frombuffer(text.decode("utf-8").encode("latin-1"), np.uint8)


def _segments(pieces: Iterable[bytes]) -> Iterator[memoryview]:
    for piece in pieces:
        view = memoryview(piece)
        for at in range(0, len(view), SEGMENT):
            yield view[at : at + SEGMENT]
