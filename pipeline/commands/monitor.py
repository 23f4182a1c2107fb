"""`scones monitor …`"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.context import Json, connect

app = typer.Typer(no_args_is_help=True, help="What endpoints saw and said.")


@app.callback()
def group() -> None:
    """What endpoints saw and said."""


@app.command()
def report(
    context: typer.Context,
    endpoint: Annotated[str | None, typer.Option(help="Its name; the newest in service if left out.")] = None,
    out: Annotated[Path, typer.Option(help="The picture; its numbers go beside it.")] = Path(
        "out/monitoring.png"
    ),
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
            help="In UTC; since the making of its config if left out.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw the captured records in one picture, beside the training data."""
    settings, clients = connect(context)
    from pipeline import console, endpoints, monitor

    name = endpoint or endpoints.newest(clients("sagemaker"), settings)
    found = monitor.captures(clients, settings, name, since.replace(tzinfo=UTC) if since else None)
    written = monitor.report(clients, settings, name, found, out)
    if as_json:
        console.print_json(asdict(written))
        return
    for line in written.malformed:
        print(f"skipped {line}")
    print(f"{written.records} records of {name}, {written.under_threshold} under {written.threshold:g}")
    print(written.picture)
