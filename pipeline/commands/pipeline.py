"""`scones pipeline …`"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands import drawing
from pipeline.commands.context import Json, connect, load_settings

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The model-building pipeline and its executions.")
app.command("graph")(drawing.pipeline_graph)

ExecutionArgument = Annotated[
    str | None, typer.Argument(metavar="EXECUTION", help="Its ARN or id; the newest when left out.")
]


@app.command()
def definition(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead.")] = None,
) -> None:
    """Print the definition's JSON. Needs no credentials and no network."""
    settings = load_settings(context)
    from pipeline import files
    from pipeline.definition import definition_json

    text = definition_json(settings)
    if output:
        files.write(output, text)
    else:
        sys.stdout.write(text)


@app.command()
def upsert(context: typer.Context, as_json: Json = False) -> None:
    """Upload the code that changed, and create or update the pipeline."""
    settings, clients = connect(context)
    from pipeline import console, runs

    done = runs.upsert(clients, settings)
    if as_json:
        console.print_json(asdict(done))
        return
    for folder, files in Counter(uri.rpartition("/")[0] for uri in done.uploaded).items():
        print(f"uploaded {folder}/ ({files} file{'s' if files > 1 else ''})")
    print(f"{done.change} {done.arn}")


@app.command()
def start(
    context: typer.Context,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A pipeline parameter, such as Epochs=12."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="ARCHIVE",
            help="cifar100, a URL, synthetic for drawn images, or a file or a folder of images by class, "
            "which is uploaded.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="A display name for the execution.")] = None,
    watching: Annotated[bool, typer.Option("--watch", help="Watch it until it ends.")] = False,
    as_json: Json = False,
) -> None:
    """Start an execution and print its ARN."""
    given = _assignments(parameters or [])
    if data is not None and "DataSource" in given:
        raise typer.BadParameter("--data and --set DataSource=… say the same: give one of them")
    settings, clients = connect(context)
    from pipeline import archives, console, execution_parameters, runs
    from pipeline.revision import code_revision

    # A slip, or that there is no pipeline, is told before anything is packed.
    execution_parameters.check(settings, given)
    if data is not None:
        archives.kind_of(data)
    current = runs.is_current(clients, settings)
    if not current:
        print(
            f"warning: the pipeline {settings.pipeline_name} is not what code and settings here define; it "
            "runs as it was upserted, and its package will name no commit: `scones pipeline upsert` first",
            file=sys.stderr,
        )
    if data is not None:
        with TemporaryDirectory(prefix="scones-archive-") as folder:
            given["DataSource"] = archives.provide(clients("s3"), settings, data, Path(folder)).source
    revision = code_revision() if current else None  # of the code that runs, which is not that of here
    defaults = {"CodeRevision": revision} if revision else {}
    arn = runs.start(clients, settings, defaults | given, name)
    if as_json:
        console.print_json({"arn": arn})
    else:
        print(arn)
    if watching:
        _watch(settings, clients, arn)


@app.command()
def watch(context: typer.Context, execution: ExecutionArgument = None) -> None:
    """Show an execution's steps until it ends; exit code 1 unless it succeeded."""
    settings, clients = connect(context)
    from pipeline import runs

    _watch(settings, clients, runs.resolve(clients, settings, execution))


def _watch(settings: Settings, clients: Clients, arn: str) -> None:
    from pipeline import progress, runs

    changes = runs.watch(clients("sagemaker"), arn, settings.poll_seconds)
    execution, steps = progress.show_execution(changes)
    if execution.status == "Failed":
        print("`scones pipeline logs` shows more", file=sys.stderr)
    runs.require_success(execution, steps)


@app.command()
def logs(
    context: typer.Context,
    execution: ExecutionArgument = None,
    step: Annotated[
        str | None, typer.Option(help="By default the one that failed, else runs, else came last.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for the step, and go on until it ends.")
    ] = False,
) -> None:
    """Print what a step's job wrote."""
    settings, clients = connect(context)
    from pipeline import logs, runs

    sagemaker, arn = clients("sagemaker"), runs.resolve(clients, settings, execution)
    log = logs.find(sagemaker, arn, step, wait=follow)

    def runs_still() -> bool:
        return any(each.name == log.step and each.ended is None for each in runs.steps(sagemaker, arn))

    silent = True
    for line in logs.lines(clients("logs"), log, runs_still if follow else lambda: False):
        print(line, flush=follow)
        silent = False
    if silent:
        print(f"the job of {log.step}, {log.job}, has written nothing so far", file=sys.stderr)


@app.command("list")
def list_executions(context: typer.Context, as_json: Json = False) -> None:
    """List the newest executions."""
    settings, clients = connect(context)
    from pipeline import console, runs

    rows = [{"id": execution.id, **asdict(execution)} for execution in runs.executions(clients, settings)]
    console.print_rows(
        rows,
        ("id", "status", "started"),
        "no execution yet: run `scones pipeline start`",
        as_json,
    )


@app.command()
def stop(context: typer.Context, execution: ExecutionArgument = None) -> None:
    """Stop an execution."""
    settings, clients = connect(context)
    from pipeline import runs

    arn = runs.resolve(clients, settings, execution)
    runs.stop(clients("sagemaker"), arn)
    print(f"stopping {arn}")


@app.command()
def tuning(
    context: typer.Context,
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="EXECUTION|TUNING_JOB", help="An ARN, id or name; the newest execution when left out."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Draw it as well, to this PNG file.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a tuning job tried, the best first."""
    settings, clients = connect(context)
    from pipeline import console, files, tuning

    found = tuning.describe(clients("sagemaker"), tuning.find(clients, settings, reference))
    if out:
        from pipeline.tuning_figure import draw

        files.write(out, draw(found))
    if as_json:
        console.print_json(asdict(found) | {"trials": found.rows()})
        return
    print(found.summary())
    rows = [row | {"job": found.short(row["job"])} for row in found.rows()]
    failed = any(row["reason"] for row in rows)
    columns = [column for column in rows[0] if failed or column != "reason"] if rows else []
    console.print_rows(rows, columns, "it has no training job yet")


def _assignments(texts: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE, such as Epochs=12")
        if name in given:
            raise typer.BadParameter(f"--set {name}=… is given twice")
        given[name] = value
    return given
