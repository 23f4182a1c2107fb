"""Child processes that never outlive the server: jobs, model servers and function workers start through here.

`PR_SET_PDEATHSIG` would be the kernel's own way, but it is bound to the *thread* that forked, covers the
direct child only, and needs code between fork and exec. Here a reaper process (`localaws.reaper`) waits for
the server's end instead and kills everything that carries the server's mark, grandchildren included.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localaws import reaper

_lock = threading.Lock()
_mark: str | None = None
_pipe: int | None = None  # kept open, never written to: its end is the server's end


def guard(mark: str) -> None:
    """Starts the reaper for this process, whose children will carry `mark`. Once, before `popen`."""
    global _mark, _pipe
    with _lock:
        if _mark is not None:
            raise RuntimeError(f"this process is guarded as {_mark} already")
        read, _pipe = os.pipe()
        arguments = [sys.executable, "-I", "-S", str(Path(reaper.__file__)), mark]
        # A session of its own: a Ctrl-C in the terminal must not reach it. S603: our own file.
        subprocess.Popen(arguments, stdin=read, stdout=subprocess.DEVNULL, env={}, start_new_session=True)
        os.close(read)
        _mark = mark


def popen(
    args: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[Any]:
    """`subprocess.Popen` for a child that is killed when this process ends, in whatever way.

    The child leads a session of its own, so that `stop` ends all it starts. `env` is the child's whole
    environment, as for Popen. May be called from any thread.
    """
    if _mark is None:
        guard(f"{os.getpid()}-{uuid.uuid4().hex}")
    marked = {**(os.environ if env is None else env), reaper.VARIABLE: str(_mark)}
    return subprocess.Popen(args, env=marked, start_new_session=True, **options)


def stop(process: subprocess.Popen[Any], grace: float = 5.0) -> int:
    """Ends a child and its process group: SIGTERM, SIGKILL after `grace` seconds. Returns its exit code."""
    signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    signal_group(process, signal.SIGKILL)
    return process.wait()


def signal_group(process: subprocess.Popen[Any], number: int) -> None:
    """Sends a signal to everything in the child's process group that is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
