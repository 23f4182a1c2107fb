"""What commands print: tables and colours for a person at a terminal, plain lines or JSON elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console(highlight=False, soft_wrap=True)

STYLES = {
    "Succeeded": "green",
    "Completed": "green",
    "Approved": "green",
    "InService": "green",
    "SUCCEEDED": "green",
    "Failed": "red",
    "FAILED": "red",
    "Rejected": "red",
    "TIMED_OUT": "red",
    "ABORTED": "yellow",
    "Stopped": "yellow",
    "PendingManualApproval": "yellow",
    "Executing": "cyan",
    "Creating": "cyan",
    "Updating": "cyan",
    "RollingBack": "yellow",
    "RUNNING": "cyan",
    "Running": "cyan",
    "Waiting": "cyan",
    "Caught": "yellow",
    "Aborted": "yellow",
    "TimedOut": "red",
}


def text(value: Any) -> str:
    """A cell: times in the local zone to the second, numbers short, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def styled(value: Any) -> str:
    """The same with the colour of a status, as Rich markup."""
    plain = escape(text(value))
    style = STYLES.get(plain)
    return f"[{style}]{plain}[/]" if style else plain


def json_text(value: Any) -> str:
    return json.dumps(value, indent=2, default=_plain)


def print_json(value: Any) -> None:
    print(json_text(value))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_rows(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], empty: str, as_json: bool = False
) -> None:
    """A table of `columns` in a terminal, tab-separated lines elsewhere, all keys as JSON when asked.

    `empty` is the sentence when there are no rows.
    """
    rows = list(rows)
    if as_json:
        print_json(rows)
    elif not rows:
        console.print(escape(empty))
    elif console.is_terminal:
        table = Table(header_style="bold", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(styled(row.get(column)) for column in columns))
        Console(highlight=False).print(table)
    else:
        for row in rows:
            print("\t".join(text(row.get(column)) for column in columns))
