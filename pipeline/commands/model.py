"""`scones model …`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands import explain
from pipeline.commands.context import Json, connect

if TYPE_CHECKING:
    from pipeline.registry import Status

app = typer.Typer(no_args_is_help=True, help="The registered model packages: approval and explanation.")
app.command()(explain.explain)
app.command()(explain.clarify)

# Of how many versions the list tells the accuracy, for which each evaluation is read: of the newest.
MEASURED = 20

Reference = Annotated[str | None, typer.Argument(metavar="PACKAGE", help="Its version or ARN.")]
Note = Annotated[str | None, typer.Option(help="Why: kept with the package.")]


@app.command("list")
def list_packages(context: typer.Context, as_json: Json = False) -> None:
    """List the versions in the model package group."""
    settings, clients = connect(context)
    from pipeline import console, registry

    packages = registry.packages(clients("sagemaker"), settings.model_package_group)
    measured = {p.version: registry.describe(clients, p).accuracy for p in packages[:MEASURED]}
    console.print_rows(
        [asdict(package) | {"accuracy": measured.get(package.version)} for package in packages],
        ("version", "status", "accuracy", "created", "arn"),
        f"the model package group {settings.model_package_group} is empty: `scones pipeline start` makes a "
        "version, at the end of an execution that succeeds",
        as_json,
    )


@app.command()
def pictures(
    context: typer.Context,
    package: Reference = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder they go to.")] = Path("out/model"),
) -> None:
    """Save what training and evaluation drew of a package's model. The newest when none is named."""
    settings, clients = connect(context)
    from pipeline import files, registry
    from pipeline import pictures as drawn

    found = registry.find(clients("sagemaker"), settings.model_package_group, package)
    for name, content in drawn.of_package(clients, registry.describe(clients, found)).items():
        files.write(out / name, content)
        print(out / name)


@app.command()
def show(context: typer.Context, package: Reference = None, as_json: Json = False) -> None:
    """Show a package: what it was made from and how it did. The newest when none is named."""
    settings, clients = connect(context)
    from pipeline import console, registry

    found = registry.find(clients("sagemaker"), settings.model_package_group, package)
    details = asdict(registry.describe(clients, found))
    if as_json:
        console.print_json(details)
        return
    details |= details.pop("metadata")
    if details["hyperparameters"]:
        given = details["hyperparameters"].items()
        details["hyperparameters"] = ", ".join(f"{name} {console.text(value)}" for name, value in given)
    if details["comparison"]:
        details["comparison"] = details["comparison"]["summary"]
    rows = [{"key": key, "value": value} for key, value in details.items() if value is not None]
    console.print_rows(rows, ("key", "value"), "")


@app.command()
def approve(context: typer.Context, package: Reference = None, note: Note = None) -> None:
    """Approve a package for deployment. The newest that waits when none is named."""
    _decide(context, package, "Approved", note)


@app.command()
def reject(context: typer.Context, package: Reference = None, note: Note = None) -> None:
    """Reject a package. The newest that waits when none is named."""
    _decide(context, package, "Rejected", note)


def _decide(context: typer.Context, reference: str | None, status: Status, note: str | None) -> None:
    settings, clients = connect(context)
    from pipeline import registry

    sagemaker = clients("sagemaker")
    package = registry.pending(sagemaker, settings, reference)
    registry.decide(sagemaker, package, status, note)
    print(f"{status.lower()} {package.arn}")
