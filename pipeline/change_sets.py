"""A change set as a person sees it: shown, asked about, and followed until the stack stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from rich.markup import escape

from pipeline.asking import confirmed
from pipeline.console import console

if TYPE_CHECKING:
    from workflows.deploy import Deployment
    from workflows.stacks import Change, ChangeSet, Event

SIGNS = {"Add": ("+", "green"), "Modify": ("~", "yellow"), "Remove": ("-", "red")}
_SHOWN = 100  # characters of a property's change


def approver(yes: bool) -> Callable[[ChangeSet], bool]:
    """Shows a change set and says whether to execute it: asks, unless the answer was given before.

    Raises:
        ConfirmationError: nobody can be asked.
    """

    def approve(change_set: ChangeSet) -> bool:
        show(change_set)
        if yes:
            return True
        name = change_set.stack.name
        return confirmed(f"change {name} like this?", f"nothing was changed in {name}")

    return approve


def show(change_set: ChangeSet) -> None:
    """A line a resource, and a line for each property that changes."""
    verb = "creates" if change_set.creates else "changes"
    console.print(f"[bold]{verb} {escape(change_set.stack.name)}[/]: {len(change_set.changes)} resources")
    for change in change_set.changes:
        sign, style = SIGNS.get(change.action, ("?", "white"))
        name = change.physical_id or ""
        console.print(f"  [{style}]{sign} {change.logical_id}[/] {change.type} {escape(name)}{_anew(change)}")
        for detail in change.details:
            text = detail if len(detail) <= _SHOWN else detail[: _SHOWN - 1] + "…"
            console.print(f"      {escape(text)}", style="dim")


def _anew(change: Change) -> str:
    words = {"True": " [red](made anew)[/]", "Conditional": " [yellow](perhaps made anew)[/]"}
    return words.get(change.replacement or "", "")


def show_event(event: Event) -> None:
    """A resource's progress, when it ends: a line with the time."""
    if event.status.endswith("_IN_PROGRESS"):
        return
    style = "red" if "FAILED" in event.status or "ROLLBACK" in event.status else "dim"
    reason = f": {event.reason}" if event.reason and event.status.endswith("_FAILED") else ""
    console.print(
        f"{datetime.now():%H:%M:%S} {event.logical_id} {event.status}{reason}", style=style, markup=False
    )


@contextmanager
def output(as_json: bool) -> Iterator[None]:
    """Inside, with JSON wanted on stdout, what is shown on the way goes to stderr."""
    console.stderr = as_json
    try:
        yield
    finally:
        console.stderr = False


def show_result(deployment: Deployment) -> None:
    count = len(deployment.changes)
    done = f"{count} resources changed" if count else "nothing to change"
    print(f"{deployment.stack_name}: {done}")
