"""`scones workflow graph`, `scones workflow history` and `scones pipeline graph`: what ran, to look at."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.context import Json, connect, load_settings

if TYPE_CHECKING:
    from workflows.execution import Execution
    from workflows.graph.model import Drawing
    from workflows.history import Step

ERROR_CHARACTERS = 100
COLUMNS = ("state", "type", "status", "entered (UTC)", "duration", "retries", "error or items")

ExecutionArgument = Annotated[
    str | None, typer.Argument(metavar="EXECUTION", help="Its ARN or name; the newest when left out.")
]
DrawnArgument = Annotated[
    str | None,
    typer.Argument(metavar="EXECUTION", help="Draw this one on it, by ARN, name or id; or `newest`."),
]
Machine = Annotated[str, typer.Option(help="The state machine: a definition's name in `workflows/`.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE.svg", help="Write to this file instead.")
]


def workflow_graph(
    context: typer.Context, execution: DrawnArgument = None, machine: Machine = "inference", out: Out = None
) -> None:
    """Draw the state machine as SVG, and an execution on it. Without one, needs no AWS."""
    from workflows.graph import asl
    from workflows.graph.model import Drawing

    if execution is None:
        definition = _definition(machine)
        subtitle = str(definition.get("Comment", "")).partition(":")[0]
        _write(Drawing(f"State machine: {machine}", subtitle, asl.graph(definition)), out)
        return
    found = _execution(context, machine, None if execution == "newest" else execution)
    graph = asl.graph(found.definition, found.steps)
    _write(Drawing(f"{found.machine}: {found.name}", _sentence(found), graph, execution=True), out)


def workflow_history(
    context: typer.Context,
    execution: ExecutionArgument = None,
    machine: Machine = "inference",
    as_json: Json = False,
) -> None:
    """Print an execution's states: when, how long, how often tried, and what went wrong."""
    found = _execution(context, machine, execution)
    from pipeline import console

    if as_json:
        steps = [step.as_dict() for step in found.steps]
        told = ("name", "execution_arn", "status", "started", "stopped", "error", "cause")
        console.print_json({name: getattr(found, name) for name in told} | {"steps": steps})
        return
    if console.console.is_terminal:
        print(f"{found.name} {_sentence(found)}")
    console.print_rows([_row(step) for step in found.steps], COLUMNS, "nothing has happened in it yet")


def pipeline_graph(context: typer.Context, execution: DrawnArgument = None, out: Out = None) -> None:
    """Draw the pipeline as SVG, and an execution's steps on it. Without one, needs no AWS."""
    from pipeline import graph
    from workflows.graph.model import Drawing

    if execution is None:
        settings = load_settings(context)
        from pipeline.definition import definition_json

        definition = json.loads(definition_json(settings))
        steps = sum(1 for _ in graph.all_steps(definition["Steps"]))
        _write(Drawing(f"Pipeline: {settings.pipeline_name}", f"{steps} steps", graph.graph(definition)), out)
        return
    settings, clients = connect(context)
    from pipeline import runs
    from workflows.graph.asl import duration

    arn = runs.resolve(clients, settings, None if execution == "newest" else execution)
    sagemaker = clients("sagemaker")
    found, states = runs.describe(sagemaker, arn), runs.steps(sagemaker, arn)
    drawn = graph.graph(runs.definition(sagemaker, arn), states)
    end = found.modified if found.status in runs.TERMINAL else datetime.now(UTC)
    took = duration((end - found.started).total_seconds())
    sentence = f"{found.status}, started {_utc(found.started)} UTC, {took}"
    name = arn.split("/")[1]
    _write(Drawing(f"Pipeline: {name}, execution {found.id}", sentence, drawn, execution=True), out)


def _execution(context: typer.Context, machine: str, reference: str | None) -> Execution:
    _definition(machine)  # a name that is none is wrong usage, which no question to AWS has to find
    settings, clients = connect(context)
    from pipeline import inference
    from workflows import execution

    plan = inference.workflow_plan(settings)
    arn = plan.arn("states", f"stateMachine:{plan.name_prefix}-{machine}")
    step_functions = clients("stepfunctions")
    with inference.deployed_workflow():
        return execution.read(step_functions, execution.resolve(step_functions, arn, reference))


def _definition(machine: str) -> dict[str, Any]:
    from workflows import package

    known = package.machines()
    if machine not in known:
        raise typer.BadParameter(f"{machine!r} is none of {', '.join(known)}", param_hint="--machine")
    return dict(json.loads(package.text(f"{machine}.asl.json")))


def _sentence(found: Execution) -> str:
    """Its status, when it was, and how long it took."""
    from workflows.graph.asl import duration

    when = f"{found.status}, started {_utc(found.started)} UTC, {duration(found.seconds)}"
    return f"{when}, {found.error}" if found.error else when


def _row(step: Step) -> dict[str, Any]:
    from workflows.graph.asl import duration, items

    told = items(step.items) if step.items else ""
    turn = f" [{step.iteration}]" if step.iteration is not None else ""
    return {
        "state": "  " * step.depth + step.name + turn,
        "type": step.type,
        "status": step.status,
        "entered (UTC)": _utc(step.entered),
        "duration": duration(step.seconds),
        "retries": step.retries,
        "error or items": "; ".join(text for text in (_error(step), told) if text),
    }


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _error(step: Step) -> str:
    """Name and cause on one line, shortened; of a function's error only its message."""
    if not step.error:
        return ""
    text = " ".join(f"{step.error}: {step.message}".split()) if step.message else step.error
    return text if len(text) <= ERROR_CHARACTERS else text[: ERROR_CHARACTERS - 1] + "…"


def _write(drawing: Drawing, out: Path | None) -> None:
    from pipeline import files
    from workflows.graph.svg import svg

    text = svg(drawing)
    if out is None:
        sys.stdout.write(text)
        return
    if not out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.parent}", param_hint="--out")
    files.write(out, text)
    print(out)
