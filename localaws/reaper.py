"""Kills what a dead server leaves behind. Runs as a small process of its own beside the server.

Its standard input is a pipe whose other end only the server holds: whatever ends the server, `kill -9` too,
ends the pipe. Then it kills every process that carries the server's mark in its environment. The mark is
inherited, so children of children are found wherever they moved to. Linux only, by /proc (proc(5)).

Standard library only: it is started without site-packages, in about ten milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time

VARIABLE = "SCONES_STACK"
_QUIET_SCANS = 3
_SECONDS_BETWEEN = 0.02
_PATIENCE_SECONDS = 10.0


def marked(mark: str) -> list[int]:
    """Process ids, other than our own, whose environment at their start had the mark."""
    wanted = f"{VARIABLE}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would triple the reaper's start-up time
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as environ:
                if wanted in environ.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            continue  # it has ended, or belongs to somebody else
    return found


def sweep(mark: str) -> int:
    """Kills every marked process, and looks again until no new one appears. Says how many it killed."""
    killed: set[int] = set()
    quiet, until = 0, time.monotonic() + _PATIENCE_SECONDS
    while quiet < _QUIET_SCANS and time.monotonic() < until:
        found = marked(mark)
        quiet = 0 if found else quiet + 1
        for pid in found:
            killed.add(pid)
            _kill(pid, found)
        time.sleep(_SECONDS_BETWEEN)
    return len(killed)


def _kill(pid: int, ours: list[int]) -> None:
    try:
        group = os.getpgid(pid)
        if group in ours:
            os.killpg(group, signal.SIGKILL)  # takes those along that dropped their environment
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    sweep(sys.argv[1])


if __name__ == "__main__":
    main()
