"""`scones endpoint …`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.context import Json, connect

app = typer.Typer(no_args_is_help=True, help="Endpoints that answer with a deployed model.")


@app.command()
def deploy(
    context: typer.Context,
    package: Annotated[
        str | None, typer.Option(help="A package's version or ARN; the newest approved when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Deploy an approved package to an endpoint of its own, and test it."""
    settings, clients = connect(context)
    from pipeline import console, endpoints, predictions, progress, registry

    sagemaker = clients("sagemaker")
    found = registry.approved(sagemaker, settings.model_package_group, package)
    name = endpoints.deploy(clients, settings, found)
    # First of all its name: whatever happens now, it is known what to delete.
    if not as_json:
        print(name, flush=True)
    statuses = endpoints.wait(sagemaker, name, settings.poll_seconds)
    if as_json:
        *_, status = statuses
    else:
        progress.show_waiting(f"endpoint {name}", statuses)
        status = "InService"
    predictions.smoke_test(clients, settings, name)
    if as_json:
        console.print_json({"endpoint_name": name, "model_package_arn": found.arn, "status": status})
    else:
        print(f"package {found.version} is in service and answers")


@app.command()
def predict(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A PNG or JPEG file.")],
    endpoint: Annotated[str | None, typer.Option(help="Its name; the newest in service if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Ask an endpoint what an image shows."""
    content_type = _content_type(image)
    settings, clients = connect(context)
    from pipeline import console, endpoints, predictions

    name = endpoint or endpoints.newest(clients("sagemaker"), settings)
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
    """List the endpoints."""
    settings, clients = connect(context)
    from pipeline import console, endpoints

    rows = [asdict(e) for e in endpoints.endpoints(clients("sagemaker"), settings.endpoint_name_prefix)]
    console.print_rows(
        rows, ("name", "status", "created", "modified"), "no endpoint: run `scones endpoint deploy`", as_json
    )


@app.command()
def delete(context: typer.Context, endpoint: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """Delete an endpoint with its config and model, and nothing else."""
    _settings, clients = connect(context)
    from pipeline import endpoints

    for what in endpoints.delete(clients("sagemaker"), endpoint):
        print(f"deleted {what}")


def _content_type(image: Path) -> str:
    from pipeline.predictions import CONTENT_TYPES

    try:
        return CONTENT_TYPES[image.suffix.lower()]
    except KeyError:
        raise typer.BadParameter(f"{image} is neither PNG nor JPEG by its name") from None
