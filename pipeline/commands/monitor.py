"""`scones monitor …`"""

from __future__ import annotations

import sys
import warnings
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.context import Environment, Json, connect

if TYPE_CHECKING:
    from monitoring.capture import Captures
    from monitoring.report import Report
    from pipeline.clients import Clients
    from pipeline.predictions import Deployed

app = typer.Typer(no_args_is_help=True, help="What endpoints saw and said, and whether it has drifted.")

DRIFTED, QUIET = 3, 4  # 1 is of errors, 2 of wrong usage
SKIPPED_SHOWN = 10

Endpoint = Annotated[str | None, typer.Option(help="Its name, in place of the environment's.")]
Out = Annotated[Path, typer.Option(help="The picture, a PNG file; its numbers go beside it.")]
Since = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
        help="In UTC; may be earlier than the package that serves now.",
    ),
]
Hours = Annotated[float | None, typer.Option(min=0.1, max=24 * 3650, help="Only records of the last hours.")]


@dataclass(frozen=True)
class Drawn:
    """A report, and what it took to get there."""

    clients: Clients
    served: Deployed
    captures: Captures
    report: Report


@app.callback()
def group() -> None:
    """What endpoints saw and said, and whether it has drifted."""


@app.command()
def report(
    context: typer.Context,
    endpoint: Endpoint = None,
    environment: Environment = None,
    out: Out = Path("out/monitoring.png"),
    since: Since = None,
    hours: Hours = None,
    as_json: Json = False,
) -> None:
    """Draw the captured records in one picture, beside the training data.

    By default all since the endpoint's config was made. Exit code 0, drift or not.
    """
    drawn = _drawn(context, endpoint, environment, out, since, hours)
    _show(drawn, as_json)


@app.command()
def check(
    context: typer.Context,
    endpoint: Endpoint = None,
    environment: Environment = None,
    out: Out = Path("out/monitoring.png"),
    since: Since = None,
    hours: Hours = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Put the result into CloudWatch, where the drift alarm looks.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the records of the last 24 hours with the model's baseline.

    Exit code 3 when they have drifted, 4 when there are none. Draws the same picture as `report`.
    """
    if publish and since:
        raise typer.BadParameter("--publish is of what the endpoint serves now: give --hours, not --since")
    if hours is None and since is None:
        hours = 24
    from monitoring.capture import CaptureError, MalformedCaptureError

    try:
        drawn = _drawn(context, endpoint, environment, out, since, hours)
    except MalformedCaptureError:
        raise
    except CaptureError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(QUIET) from None
    from pipeline import monitor

    published = publish and monitor.publish(drawn.clients("cloudwatch"), drawn.served.endpoint, drawn.report)
    _show(drawn, as_json, {"published": published})
    if publish and not as_json:
        print("published" if published else "nothing was published: no feature could be judged")
    if drawn.report.drifted:
        raise typer.Exit(DRIFTED)


def _drawn(
    context: typer.Context,
    endpoint: str | None,
    environment: str | None,
    out: Path,
    since: datetime | None,
    hours: float | None,
) -> Drawn:
    if since and hours:
        raise typer.BadParameter("give --since or --hours, not both")
    if endpoint and environment:
        raise typer.BadParameter("give --endpoint or --environment, not both")
    from monitoring.report import check_target

    check_target(out)
    settings, clients = connect(context, environment)
    from pipeline import environments, monitor, predictions

    name = environments.chosen(clients, settings, endpoint)
    # Looked up once: a deployment meanwhile must not mix two packages.
    served = predictions.deployed(clients("sagemaker"), name)
    begin = since.replace(tzinfo=UTC) if since else None
    if hours:
        begin = monitor.last_hours(served, hours)
    found = monitor.captures(clients, settings, served, begin)
    # Pillow's and Matplotlib's, of odd images and letters that a font lacks.
    with warnings.catch_warnings(action="ignore"):
        written = monitor.report(clients, settings, served, found, out, begin)
    return Drawn(clients, served, found, written)


def _show(drawn: Drawn, as_json: bool, more: dict[str, Any] | None = None) -> None:
    from pipeline import console, monitor

    written = drawn.report
    earlier = monitor.answered_before(drawn.served, drawn.captures)
    if earlier:
        print(
            f"{earlier:,} of the records are older than the package that serves now, by which all are judged",
            file=sys.stderr,
        )
    if as_json:
        console.print_json(asdict(written) | (more or {}))
        return
    for line in written.malformed[:SKIPPED_SHOWN]:
        print(f"skipped {line}")
    more_skipped = len(written.malformed) - SKIPPED_SHOWN
    if more_skipped > 0:
        print(f"skipped {more_skipped:,} more; {Path(written.picture).with_suffix('.json')} names them all")
    records = f"{written.records:,} record{'s' * (written.records != 1)}"
    share = written.validation_under_threshold
    beside = "" if share is None else f" (of the validation answers {share:.1%})"
    print(f"{records} of {written.subject}, {written.first} to {written.last}")
    print(f"{written.under_threshold:,} of {written.answers:,} answers under {written.threshold:g}{beside}")
    for each in written.drift:
        print(each)
    if not written.drift:
        print("no baseline: what it serves is no registered package with statistics; nothing was judged")
    elif share is None:
        print("confidence: not judged, the package's evaluation left no predictions.jsonl")
    print(written.picture)
