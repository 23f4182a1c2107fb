"""`scones monitor …`"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.context import Json, connect

if TYPE_CHECKING:
    from monitoring.report import Report

app = typer.Typer(no_args_is_help=True, help="What endpoints saw and said, and whether it has drifted.")

DRIFTED = 3  # 1 is of errors, 2 of wrong usage

Endpoint = Annotated[str | None, typer.Option(help="Its name; the newest in service if left out.")]
Out = Annotated[Path, typer.Option(help="The picture; its numbers go beside it.")]
Since = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
        help="In UTC; may be earlier than the package that serves now.",
    ),
]
Hours = Annotated[float | None, typer.Option(min=0.1, max=24 * 3650, help="Only records of the last hours.")]


@app.callback()
def group() -> None:
    """What endpoints saw and said, and whether it has drifted."""


@app.command()
def report(
    context: typer.Context,
    endpoint: Endpoint = None,
    out: Out = Path("out/monitoring.png"),
    since: Since = None,
    hours: Hours = None,
    as_json: Json = False,
) -> None:
    """Draw the captured records in one picture, beside the training data.

    By default all since the endpoint's config was made.
    """
    _, name, written = _drawn(context, endpoint, out, since, hours)
    _show(name, written, as_json)


@app.command()
def check(
    context: typer.Context,
    endpoint: Endpoint = None,
    out: Out = Path("out/monitoring.png"),
    since: Since = None,
    hours: Hours = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Put the result into CloudWatch, where the drift alarm looks.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the records of the last 24 hours with the model's baseline; exit code 3 when they have drifted.

    Draws the same picture as `report`.
    """
    if hours is None and since is None:
        hours = 24
    cloudwatch, name, written = _drawn(context, endpoint, out, since, hours)
    from pipeline import monitor

    published = publish and monitor.publish(cloudwatch, name, written)
    _show(name, written, as_json)
    if publish and not published and not as_json:
        print("nothing was published: no feature could be judged")
    if written.drifted:
        raise typer.Exit(DRIFTED)


def _drawn(
    context: typer.Context, endpoint: str | None, out: Path, since: datetime | None, hours: float | None
) -> tuple[Any, str, Report]:
    """A client of CloudWatch, the endpoint's name, and its report."""
    if since and hours:
        raise typer.BadParameter("give --since or --hours, not both")
    settings, clients = connect(context)
    from pipeline import endpoints, monitor

    name = endpoint or endpoints.newest(clients("sagemaker"), settings)
    begin = since.replace(tzinfo=UTC) if since else None
    if hours:
        begin = monitor.last_hours(clients, name, hours)
    found = monitor.captures(clients, settings, name, begin)
    return clients("cloudwatch"), name, monitor.report(clients, settings, name, found, out)


def _show(name: str, written: Report, as_json: bool) -> None:
    from pipeline import console

    if as_json:
        console.print_json(asdict(written))
        return
    for line in written.malformed:
        print(f"skipped {line}")
    print(f"{written.records} records of {name}, {written.under_threshold} under {written.threshold:g}")
    for each in written.drift:
        print(each)
    print(written.picture)
