"""Long work in view: a table that moves in a terminal, a plain line a change elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from pipeline.console import STYLES, console, styled

if TYPE_CHECKING:
    from pipeline.runs import Execution, StepState

LINE_SECONDS = 5  # between two plain lines of a count
SILENT_SECONDS = 60  # without a change, after which plain lines say what still runs
Changes = Iterable[tuple["Execution", list["StepState"]]]


def show_execution(changes: Changes) -> tuple[Execution, list[StepState]]:
    """Shows what `runs.watch` yields, and returns the last of it."""
    return _live(changes) if console.is_terminal else _lines(changes)


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """`what` with each new status, which the function takes, and the seconds that it took to get there."""
    begin, last = time.monotonic(), ""
    if not console.is_terminal:

        def line(status: str) -> None:
            nonlocal last
            if status != last:
                print(f"{datetime.now():%H:%M:%S} {what}: {status}", flush=True)
            last = status

        yield line
        return
    with console.status(what) as display:

        def update(status: str) -> None:
            seconds = time.monotonic() - begin
            display.update(f"{escape(what)}: {styled(status)} after {seconds:.0f} s")

        yield update


@contextmanager
def counting(what: str, unit: str, of: int) -> Iterator[Callable[[int], None]]:
    """One line for work that is counted: how many of how many, how many a second, and the time left.

    Moves in a terminal; elsewhere a plain line every few seconds, and one at the end. On stderr, so that what
    is printed is the result alone.
    """
    screen = Console(stderr=True, highlight=False)
    begin = last = time.monotonic()
    first: int | None = None
    done = 0

    def text() -> str:
        rate = (done - (first or 0)) / max(time.monotonic() - begin, 1e-3)
        said = f"{done:,} of {of:,} {unit}"
        if done > (first or 0):
            said += f", {rate:,.0f} a second"
            said += f", {clock((of - done) / rate)} left" if done < of else ""
        return said

    def note(count: int) -> None:
        nonlocal done, first
        done = count
        first = count if first is None else first

    if not screen.is_terminal:

        def line(count: int) -> None:
            nonlocal last
            note(count)
            if time.monotonic() - last >= LINE_SECONDS:
                print(f"{datetime.now():%H:%M:%S} {what}: {text()}", file=sys.stderr, flush=True)
                last = time.monotonic()

        yield line
    else:
        with screen.status(escape(what)) as display:

            def update(count: int) -> None:
                note(count)
                display.update(f"{escape(what)}: {text()}")

            yield update
    print(
        f"{datetime.now():%H:%M:%S} {what}: {text()}, in {clock(time.monotonic() - begin)}",
        file=sys.stderr,
        flush=True,
    )


def clock(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3:05, 1:02:03."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _lines(changes: Changes) -> tuple[Execution, list[StepState]]:
    seen: dict[str, str] = {}
    last = time.monotonic()
    for execution, steps in changes:
        silent = time.monotonic() - last >= SILENT_SECONDS
        for step in steps:
            again = seen.get(step.name) == step.status
            if not again or (silent and not step.ended):
                seen[step.name] = step.status
                print(f"{datetime.now():%H:%M:%S} {_line(step, again)}", flush=True)
                last = time.monotonic()
        result = execution, steps
    return result


def _line(step: StepState, again: bool) -> str:
    parts = [step.name, step.status]
    if step.ended and step.seconds is not None:
        parts.append("from the cache" if step.cached else f"after {step.seconds:.1f} s")
    elif again and step.seconds is not None:
        parts.append(f"for {clock(step.seconds)}")
    return " ".join(parts) + (f": {step.reason}" if step.reason else "")


def _live(changes: Changes) -> tuple[Execution, list[StepState]]:
    with Live(console=console, refresh_per_second=8) as live:
        for execution, steps in changes:
            live.update(_table(execution, steps))
            result = execution, steps
    return result


def _table(execution: Execution, steps: list[StepState]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.title = f"execution {execution.id}: {styled(execution.status)}"
    for column, justify in (("step", "left"), ("status", "left"), ("seconds", "right"), ("", "left")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for step in steps:
        status = (
            Spinner("dots", text=step.status, style=STYLES["Executing"])
            if step.status in ("Starting", "Executing")
            else styled(step.status)
        )
        seconds = "" if step.seconds is None else f"{step.seconds:.1f}"
        table.add_row(
            step.name, status, seconds, "from the cache" if step.cached else escape(step.reason or "")
        )
    return table
