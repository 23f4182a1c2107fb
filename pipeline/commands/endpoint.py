"""`scones endpoint …`"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.context import Environment, Json, Yes, connect

if TYPE_CHECKING:
    from pipeline.deployment import Record
    from pipeline.settings import Settings

Run = Callable[[Any, Any], Any]

app = typer.Typer(no_args_is_help=True, help="Endpoints that answer with a deployed model.")


RecordFile = Annotated[
    Path | None, typer.Option("--record", dir_okay=False, help="Write what was done to this file, as JSON.")
]


@app.command()
def deploy(
    context: typer.Context,
    package: Annotated[
        str | None, typer.Option(help="A package's version or ARN; the newest approved when left out.")
    ] = None,
    environment: Environment = None,
    new: Annotated[
        bool, typer.Option("--new", help="Another endpoint beside the one that is there.")
    ] = False,
    record: RecordFile = None,
    as_json: Json = False,
) -> None:
    """Deploy an approved package: makes the environment's endpoint or updates it in place, and tests it."""
    settings, clients = connect(context, environment)
    from pipeline import deployment, environments, registry

    found = registry.approved(clients("sagemaker"), settings.model_package_group, package)
    environments.require_staged(clients, settings, found)
    with _shown(settings, record, as_json) as shown:
        shown(lambda name, status: deployment.deploy(clients, settings, found, name, status, new))


@app.command()
def rollback(
    context: typer.Context, environment: Environment = None, record: RecordFile = None, as_json: Json = False
) -> None:
    """Go back to the package that the environment's endpoint served before."""
    settings, clients = connect(context, environment)
    from pipeline import deployment

    with _shown(settings, record, as_json) as shown:
        shown(lambda name, status: deployment.rollback(clients, settings, name, status))


@app.command()
def promote(
    context: typer.Context,
    source: Annotated[
        str, typer.Option("--from", help="The environment that serves the package now.")
    ] = "staging",
    to: Annotated[
        str, typer.Option("--to", help="The environment to deploy the very same package to.")
    ] = "prod",
    yes: Yes = False,
    record: RecordFile = None,
    as_json: Json = False,
) -> None:
    """Test what staging serves, ask a person, and deploy the very same package to prod."""
    settings, clients = connect(context, to)
    from pipeline import asking, deployment, environments, smoke

    package = environments.staged_package(clients, settings, source)
    environments.require_staged(clients, settings, package)
    tested = smoke.test(clients, settings, environments.endpoint_of(clients, settings, source), package.arn)
    if not as_json:
        print(f"{source} serves package {package.version}: {tested['correct']} of {tested['images']} right")
    asking.confirm(f"deploy package {package.version} to {to}?", f"nothing was deployed to {to}", yes)
    with _shown(settings, record, as_json) as shown:
        shown(lambda name, status: deployment.deploy(clients, settings, package, name, status))


@app.command("on-approval")
def on_approval(
    context: typer.Context,
    environment: Annotated[str, typer.Option(help="Where an approved package goes.")] = "staging",
    remove: Annotated[bool, typer.Option("--remove", help="Take it away again.")] = False,
    yes: Yes = False,
) -> None:
    """Let EventBridge deploy each package that is approved, and tell of rejected ones that serve."""
    settings, clients = connect(context, environment)
    from pipeline import approval, change_sets
    from workflows import deploy, stacks

    plan = approval.plan(settings)
    if remove:
        gone = stacks.delete(clients("cloudformation"), plan.stack_name)
        print(f"deleted {plan.stack_name}" if gone else f"there is no {plan.stack_name} to take away")
        return
    approval.require_before_prod(settings)
    done = deploy.deploy(clients, plan, change_sets.approver(yes), change_sets.show_event)
    change_sets.show_result(done)
    print(
        f"packages approved in {plan.model_package_group} go to {environment}: {done.outputs['FunctionArn']}"
    )
    print(f"messages go to {done.outputs['TopicArn']}")


@app.command()
def predict(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A PNG or JPEG file.")],
    endpoint: Annotated[str | None, typer.Option(help="Its name, in place of the environment's.")] = None,
    environment: Environment = None,
    as_json: Json = False,
) -> None:
    """Ask an endpoint what an image shows."""
    content_type = _content_type(image)
    settings, clients = connect(context, environment)
    from pipeline import console, environments, predictions

    name = environments.chosen(clients, settings, endpoint)
    answer = predictions.predict(clients, settings, name, image.read_bytes(), content_type)
    if as_json:
        probabilities = dict(zip(answer.classes, answer.probabilities, strict=True))
        console.print_json(
            {"endpoint_name": name, "predicted": answer.predicted, "probabilities": probabilities}
        )
        return
    pairs = sorted(zip(answer.probabilities, answer.classes, strict=True), reverse=True)
    console.print_rows([{"class": c, "probability": p} for p, c in pairs], ("class", "probability"), "")


@app.command("list")
def list_endpoints(context: typer.Context, as_json: Json = False) -> None:
    """List the endpoints, with their environments and the packages that they serve."""
    settings, clients = connect(context)
    from pipeline import console, environments

    rows = [asdict(each) for each in environments.serving(clients("sagemaker"), settings)]
    columns = ("name", "status", "environment", "package", "created", "modified")
    console.print_rows(rows, columns, "no endpoint: run `scones endpoint deploy`", as_json)


@app.command()
def delete(context: typer.Context, endpoint: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """Delete an endpoint with its configs, models, scaling and alarms, and nothing else."""
    settings, clients = connect(context)
    from pipeline import endpoints

    for what in endpoints.delete_all(clients, settings, endpoint):
        print(f"deleted {what}")


@contextmanager
def _shown(settings: Settings, path: Path | None, as_json: bool) -> Iterator[Callable[[Run], None]]:
    """Runs a deployment in view, and writes its record whatever comes of it."""
    from pipeline import console, progress
    from pipeline.endpoints import DeployError

    def name(record: Record) -> None:
        # First of all its name: whatever happens now, it is known what to delete.
        if not as_json:
            print(record.endpoint, flush=True)
            for alarm in record.raised_alarms:
                print(f"{alarm} is in ALARM already, so it does not guard this update", file=sys.stderr)
            if settings.hosting.serverless:
                print("serverless: nothing is captured, so there is nothing to monitor", file=sys.stderr)

    def run(start: Run) -> None:
        with progress.waiting("endpoint") as status:
            on_status = (lambda _: None) if as_json else status
            record = start(name, on_status)
        _write(path, record)
        if as_json:
            console.print_json(
                {
                    "endpoint_name": record.endpoint,
                    "model_package_arn": record.package,
                    "status": record.outcome,
                    **record.as_dict(),
                }
            )
        else:
            tested = record.smoke_test or {}
            print(
                f"{record.package} is in service in {record.environment} and answers: "
                f"{tested.get('correct')} of {tested.get('images')} smoke-test images as evaluated"
                if tested.get("images")
                else f"{record.package} is in service in {record.environment} and answers"
            )
            print("`scones workflow deploy` brings its threshold into the workflow", file=sys.stderr)

    try:
        yield run
    except DeployError as error:
        _write(path, error.record)
        raise


def _write(path: Path | None, record: Record | None) -> None:
    if path is None or record is None:
        return
    from pipeline import console, files

    files.write(path, console.json_text(record.as_dict()) + "\n")


def _content_type(image: Path) -> str:
    from pipeline.predictions import CONTENT_TYPES

    try:
        return CONTENT_TYPES[image.suffix.lower()]
    except KeyError:
        raise typer.BadParameter(f"{image} is neither PNG nor JPEG by its name") from None
