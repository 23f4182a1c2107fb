"""`scones workflow …`"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.commands import drawing
from pipeline.commands.context import Environment, Json, Yes, connect

app = typer.Typer(no_args_is_help=True, help="The inference workflow: for one image, and for many.")
app.command("graph")(drawing.workflow_graph)
app.command("history")(drawing.workflow_history)


@app.command()
def deploy(
    context: typer.Context,
    endpoint: Annotated[
        str | None, typer.Option(help="The endpoint to ask, in place of the environment's.")
    ] = None,
    environment: Environment = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Deploy the functions, the state machine and what watches them, or bring them up to date."""
    settings, clients = connect(context, environment)
    from pipeline import change_sets, console, environments, inference, thresholds
    from workflows import deploy

    name = environments.chosen(clients, settings, endpoint)
    threshold = thresholds.of_endpoint(clients("sagemaker"), settings, name)
    plan = inference.workflow_plan(settings, name, threshold.value)
    if not as_json:
        print(threshold)
    with change_sets.output(as_json):
        done = deploy.deploy(clients, plan, change_sets.approver(yes), change_sets.show_event)
    if as_json:
        console.print_json(asdict(done) | {"endpoint_name": name, "threshold": asdict(threshold)})
        return
    change_sets.show_result(done)
    print(f"{done.state_machine_arn} asks {plan.endpoint_name}")


@app.command()
def run(
    context: typer.Context,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Files, or s3:// URIs.")],
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="In place of the deployed threshold, for these images.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send images through the workflow and say what came of each.

    Ends with exit code 1 when one of them came to no answer.
    """
    settings, clients = connect(context)
    from pipeline import console, inference, progress
    from workflows import run

    keys = inference.image_keys(clients("s3"), settings, images)
    arn = inference.workflow_plan(settings).state_machine_arn
    classes = inference.classes(clients, settings)
    with inference.deployed_workflow(), progress.counting("workflow", "images", len(keys)) as done:
        ended = itertools.count(1)
        results = run.run(
            clients,
            arn,
            settings.bucket,
            keys,
            classes,
            threshold=threshold,
            review=settings.review,
            on_result=lambda _: done(next(ended)),
        )
    console.print_rows([result.as_dict() for result in results], COLUMNS, "", as_json)
    if not as_json:
        outcomes = Counter(result.outcome for result in results)
        total = ", ".join(f"{number:,} {outcome}" for outcome, number in outcomes.most_common())
        number = "1 image" if len(results) == 1 else f"{len(results):,} images"
        print(f"{number}: {total}", file=sys.stderr)  # the rows are for other programs too
        if "EndpointNotFound" in outcomes:
            print(
                "the workflow's endpoint is gone: `scones workflow deploy` has it ask the one in service",
                file=sys.stderr,
            )
    if any(result.failed for result in results):
        raise typer.Exit(1)


COLUMNS = ("s3_key", "status", "predicted", "confidence", "outcome")


@app.command("list")
def list_executions(context: typer.Context, as_json: Json = False) -> None:
    """List the newest executions, for one image and of batches."""
    settings, clients = connect(context)
    from pipeline import console, inference
    from workflows import run

    plan = inference.workflow_plan(settings)
    machines = {"image": plan.state_machine_arn, "batch": plan.batch_state_machine_arn}
    with inference.deployed_workflow():
        rows = [
            {"kind": kind, **asdict(execution)}
            for kind, arn in machines.items()
            for execution in run.list_executions(clients, arn)
        ]
    rows.sort(key=lambda row: row["started"], reverse=True)
    columns = ("kind", "name", "status", "started", "stopped")
    console.print_rows(rows, columns, "no execution yet: run `scones workflow run IMAGE`", as_json)
