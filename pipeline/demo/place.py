"""Where the demo runs: its folder, its own local AWS, and that neither outlives what it is for."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from localaws import control
from pipeline import clients, console, pictures

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

STATE = "local-aws"
SUMMARY = "summary.json"
STOP = "stop the local AWS"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What a run leaves in its folder; of an earlier run nothing is kept, so nothing old is taken for new.
RESULTS = (
    SUMMARY,
    "evaluation.json",
    "samples.png",
    *pictures.ALL,
    "monitoring.png",
    "monitoring.json",
    "synthetic-cifar-100-python.tar.gz",
)


class DemoError(Exception):
    """The demo cannot run here."""


@dataclass
class Stages:
    """Names each stage when it begins and keeps how many seconds it took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        console.console.print(f"[bold]{name}[/]")
        begin = time.monotonic()
        yield
        self.ended(name, begin)

    def ended(self, name: str, begin: float) -> None:
        self.seconds[name] = round(time.monotonic() - begin, 3)


@contextmanager
def local_aws(settings: Settings, stages: Stages) -> Iterator[Clients]:
    """A local AWS of the demo's own, and an environment in which every client talks to it."""
    environment = dict(os.environ)
    try:
        with stages("start the local AWS"):
            running = control.up(settings.state_dir)
        os.environ.update(running.environment())
        os.environ.pop("AWS_PROFILE", None)
        yield clients.connect(settings)
    finally:
        os.environ.clear()
        os.environ.update(environment)
        with _uninterrupted():
            # Stopped before it is told: whoever read what the demo prints may be gone.
            begin = time.monotonic()
            control.down(settings.state_dir)
            stages.ended(STOP, begin)
            console.console.print(f"[bold]{STOP}[/]")


@contextmanager
def fresh_folder(out: Path) -> Iterator[None]:
    """The folder without what an earlier run left in it, or this one unless it succeeds."""
    if out.exists() and not out.is_dir():
        raise DemoError(f"{out} is a file; --out takes a folder")
    if control.status(out / STATE):
        raise DemoError(
            f"another demo runs in {out}, or left its local AWS behind when it was killed: "
            f"`SCONES_STATE_DIR={out / STATE} scones local down` stops that"
        )
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    with _alone_in(out):
        yield from _cleared(out, made)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Holds the folder itself: a demo that begins at the same moment sees no local AWS yet."""
    descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DemoError(f"another demo runs in {out}: choose another folder with --out") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _cleared(out: Path, made: bool) -> Iterator[None]:
    shutil.rmtree(out / STATE, ignore_errors=True)
    _remove_results(out)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:  # Rich ends the process when what it prints reaches nobody
        _remove_results(out)
        shutil.rmtree(out / STATE, ignore_errors=True)
        if made:
            out.rmdir()
        if isinstance(end, KeyboardInterrupt):
            with suppress(OSError):
                print("interrupted: what the demo started and wrote is gone", file=sys.stderr)
        raise
    except Exception:
        _remove_results(out)
        raise


def _remove_results(out: Path) -> None:
    for name in RESULTS:
        (out / name).unlink(missing_ok=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not keep the first from its work."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: with everything that it started.

    The first signal does; further ones must not keep it from its work. One that is ignored already stays so:
    a shell has what it starts in the background ignore Ctrl-C.
    """

    def interrupt(_number: int, _frame: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {
        number: signal.getsignal(number) for number in ENDING if signal.getsignal(number) != signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
