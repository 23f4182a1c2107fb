"""Shows how far a transfer is: one line that moves in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from processing.job import shown

TERMINAL_SECONDS = 0.1
PLAIN_SECONDS = 10.0
BAR_WIDTH = 24


class Meter:
    """Counts bytes; prints bytes, rate and time left."""

    def __init__(self, label: str, total: int | None = None, out: TextIO | None = None) -> None:
        self.total = total
        self.done = 0
        self._label = shown(label)
        self._out = out or sys.stderr
        self._terminal = self._out.isatty()
        self._period = TERMINAL_SECONDS if self._terminal else PLAIN_SECONDS
        self._started = self._shown = time.monotonic()

    def add(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self._shown >= self._period:
            self._shown = now
            self._show(now)

    def finish(self) -> None:
        """The last line, which stays."""
        self._show(time.monotonic())
        if self._terminal:
            print(file=self._out, flush=True)

    def _show(self, now: float) -> None:
        text = describe(self._label, self.done, self.total, now - self._started, bar=self._terminal)
        if self._terminal:
            print(f"\r{text}\x1b[K", end="", file=self._out, flush=True)
        else:
            print(text, file=self._out, flush=True)


def describe(label: str, done: int, total: int | None, seconds: float, bar: bool) -> str:
    """`label [####    ] 84.2 of 169.0 MB, 52.1 MB/s, 0:02 left`; MB are 10^6 bytes."""
    rate = done / seconds if seconds > 0 else 0.0
    drawn = amount = left = ""
    if total:
        filled = min(BAR_WIDTH, BAR_WIDTH * done // total)
        drawn = f" [{'#' * filled}{' ' * (BAR_WIDTH - filled)}]" if bar else ""
        amount = f" of {total / 1e6:.1f}"
        if rate and done < total:
            minutes, rest = divmod(round((total - done) / rate), 60)
            left = f", {minutes}:{rest:02d} left"
    return f"{label}{drawn} {done / 1e6:.1f}{amount} MB, {rate / 1e6:.1f} MB/s{left}"
