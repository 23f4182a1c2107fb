"""`scones workflow batch`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.context import Json, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.clients import Clients
    from pipeline.image_sources import Images
    from pipeline.settings import Settings
    from workflows.batch import BatchResult, BatchRun


def batch(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            help="s3://BUCKET/PREFIX, a folder to upload, or a manifest in either place (.jsonl, .csv, .txt)."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=100, help="Images a function call.")] = 50,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Function calls at a time.")] = 4,
    tolerated_failures: Annotated[
        str, typer.Option(metavar="NUMBER|PERCENT%", help="How many images may fail before the run does.")
    ] = "0",
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="In place of the deployed threshold, for this run.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the results here: JSON lines.")
    ] = None,
    attach: Annotated[
        str | None, typer.Option(metavar="NAME", help="In place of SOURCE: a run that was started before.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send many images through a Distributed Map, and write a line of results an image.

    Ends with exit code 1 when the run fails.
    """
    if (source is None) == (attach is None):
        raise typer.BadParameter("name either SOURCE or --attach NAME")
    settings, clients = connect(context)
    from pipeline import inference
    from workflows import batch

    plan = inference.workflow_plan(settings)
    if attach is not None:
        run = batch.find(clients, plan, attach)
    else:
        options = (batch_size, concurrency, tolerated_failures, threshold)
        run = _start(clients, settings, str(source), *options)
    _follow(clients, run)
    result = batch.result(clients, plan, run)
    if out is not None:
        _write(out, result)
    _show(result, batch_size, out, as_json)
    if result.status != "SUCCEEDED":
        raise BatchFailedError(f"the run {run.name} ended as {_reason(result)}")


class BatchFailedError(Exception):
    """The run did not succeed. What it found is written all the same."""


class ToleranceError(Exception):
    """--tolerated-failures is neither a number nor a percentage."""


def tolerated(text: str, images: int) -> int:
    """How many of the images may fail: `12` of any number, `5%` of these, rounded down."""
    number = text.removesuffix("%")
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if text.endswith("%") and 0 <= share <= 100:
        return int(images * share / 100)
    if number == text and text.isdecimal():
        return int(text)
    raise ToleranceError(
        f"--tolerated-failures is a number such as 12 or a percentage such as 5%, not {text}"
    )


def _start(
    clients: Clients,
    settings: Settings,
    source: str,
    batch_size: int,
    concurrency: int,
    tolerated_failures: str,
    threshold: float | None,
) -> BatchRun:
    from pipeline import inference
    from workflows import batch
    from workflows.run import execution_name

    tolerated(tolerated_failures, 0)  # a mistake in it is told before an upload, not after
    plan = inference.workflow_plan(settings)
    with inference.deployed_workflow():
        clients("stepfunctions").describe_state_machine(stateMachineArn=plan.batch_state_machine_arn)
    images = _find(clients, settings, source)
    if images.repeated:
        print(
            f"{images.repeated:,} images were named more than once: each is classified once", file=sys.stderr
        )
    request = batch.BatchRequest(
        keys=images.keys,
        classes=inference.classes(clients, settings),
        batch_size=batch_size,
        concurrency=concurrency,
        tolerated=tolerated(tolerated_failures, len(images.keys)),
        threshold=threshold,
    )
    return batch.start(clients, plan, execution_name(source.rstrip("/")), request)


def _find(clients: Clients, settings: Settings, source: str) -> Images:
    from contextlib import ExitStack

    from pipeline import image_sources, progress

    with ExitStack() as stack:
        note: Callable[[int], None] | None = None

        def uploaded(done: int, of: int) -> None:
            nonlocal note
            note = note or stack.enter_context(progress.counting(f"uploading {source}", "images", of))
            note(done)

        return image_sources.find(clients("s3"), settings, source, uploaded)


def _follow(clients: Clients, run: BatchRun) -> None:
    from pipeline import progress
    from workflows import batch

    try:
        with progress.counting(run.name, "images", run.images) as note:
            for state in batch.follow(clients, run):
                note(state.done)
    except KeyboardInterrupt:
        print(f"the run goes on: scones workflow batch --attach {run.name}", file=sys.stderr)
        raise


def _write(out: Path, result: BatchResult) -> None:
    import json

    from pipeline import files

    files.write(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in result.results))


def _show(result: BatchResult, batch_size: int, out: Path | None, as_json: bool) -> None:
    from pipeline import console, cost

    images = len(result.results)
    dollars = cost.total(cost.in_batches(cost.prices(), images, batch_size)) if images else 0.0
    if as_json:
        console.print_json(
            {
                "name": result.name,
                "status": result.status,
                "error": result.error,
                "cause": result.cause,
                "images": images,
                "failed": result.failed,
                "outcomes": result.outcomes,
                "seconds": result.seconds,
                "results": result.results_uri,
                "estimated_dollars_on_aws": dollars,
            }
        )
        return
    rows = [
        {"outcome": outcome, "images": count, "share": f"{count / images:.1%}"}
        for outcome, count in result.outcomes.items()
    ]
    console.print_rows(rows, ("outcome", "images", "share"), "there are no results")
    if images:
        rate = images / max(result.seconds, 1e-3)
        print(
            f"{images:,} images in {result.seconds:.1f} s, {rate:,.0f} a second; on AWS about "
            f"{cost.dollars(dollars)} beside the endpoint's hours (see `scones cost --images {images}`)"
        )
        print(f"results: {out or result.results_uri}")


def _reason(result: BatchResult) -> str:
    said = ": ".join(text for text in (result.error, result.cause) if text)
    return said or result.status
