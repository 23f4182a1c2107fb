"""`scones model explain` and `scones model clarify`: which parts of an image an answer stands on."""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.context import Json, connect

if TYPE_CHECKING:
    from monitoring.explain.maps import Explanation
    from pipeline.clarify import ModelToAsk
    from pipeline.clients import Clients
    from pipeline.registry import Package
    from pipeline.settings import Settings


class MissingExtraError(Exception):
    """A library that only an extra of this package installs."""


class Method(StrEnum):
    """As in monitoring.explain.maps, which `--help` cannot wait for."""

    OCCLUSION = "occlusion"
    GRADIENTS = "integrated-gradients"


def explain(
    context: typer.Context,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="PNG or JPEG: files, s3:// URIs.")],
    package: Annotated[
        str | None, typer.Option(help="A package's version or ARN; the newest when left out.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Explain an endpoint's answers instead, whatever its model is.")
    ] = None,
    method: Annotated[
        list[Method] | None, typer.Option(help="Both when left out; an endpoint has occlusion only.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--class", help="The class to explain; the predicted one when left out.")
    ] = None,
    out: Annotated[Path, typer.Option(dir_okay=False, help="The picture.")] = Path("out/explanation.png"),
    as_json: Json = False,
) -> None:
    """Draw which parts of an image speak for its predicted class, and which against it."""
    if package and endpoint:
        raise typer.BadParameter("choose --package or --endpoint, not both")
    if endpoint and method and Method.GRADIENTS in method:
        raise typer.BadParameter("an endpoint gives answers and no gradients: use --method occlusion")
    settings, clients = connect(context)
    _require_library()
    from pipeline import console, files, objects

    # What a person may have mistyped is looked at before torch is loaded, which takes seconds.
    bodies = [objects.read_file_or_object(clients("s3"), image) for image in images]
    what, chosen = _chosen(clients, settings, package, endpoint)
    from monitoring.explain import figure, maps
    from monitoring.explain.model import read
    from pipeline import explanations

    pictures = [read(body, image) for image, body in zip(images, bodies, strict=True)]
    model = (
        explanations.package_model(clients, chosen)
        if chosen
        else explanations.endpoint_model(clients, settings, str(endpoint))
    )
    methods = list(dict.fromkeys(method or [m for m in Method if model.differentiable or m == "occlusion"]))
    found = []
    for image, pixels in zip(images, pictures, strict=True):
        with console.console.status(f"asking {what} about {image}"):
            found.append(maps.explain(model, image.rpartition("/")[2], pixels, methods, label))
        if not as_json:
            print(_line(found[-1]), flush=True)
    files.write(out, figure.draw(found))
    if as_json:
        rows = [explanations.as_dict(explanation) for explanation in found]
        console.print_json({"model": what, "picture": str(out), "explanations": rows})
    else:
        print(out)


def clarify(
    context: typer.Context,
    images: Annotated[str, typer.Argument(metavar="S3_PREFIX", help="Where the images are: PNG, or JPEG.")],
    package: Annotated[
        str | None, typer.Option(help="A package's version or ARN; the newest approved when left out.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Explain the model behind this endpoint, which itself is not asked.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(file_okay=False, help="Write the job's configuration to this folder.")
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Start the job. It costs money.")] = False,
    role: Annotated[
        str | None, typer.Option(help="ARN of the role it runs as; that of processing jobs when left out.")
    ] = None,
    segments: Annotated[int, typer.Option(min=2, max=1000, help="Parts of an image, about.")] = 20,
    samples: Annotated[int, typer.Option(min=10, max=100_000, help="Requests for each image.")] = 500,
) -> None:
    """Configure a SageMaker Clarify job that explains images on AWS, and start it if asked to."""
    if package and endpoint:
        raise typer.BadParameter("choose --package or --endpoint, not both")
    if not write and not submit:
        raise typer.BadParameter("say --write DIR to look at the job first, or --submit to start it")
    settings, clients = connect(context)
    from pipeline import clarify

    found = clarify.find_images(clients("s3"), images)
    name, model = _model_to_ask(clients, settings, package, endpoint)
    made = clarify.job(settings, found, model, name=name, role=role, segments=segments, samples=samples)
    print(f"{found.count} images, about {found.count * samples:,} requests to an endpoint of the job's own")
    for path in clarify.write(made, write) if write else []:
        print(path)
    if submit:
        print(clarify.submit(clients, settings, made))


def _model_to_ask(
    clients: Clients, settings: Settings, package: str | None, endpoint: str | None
) -> tuple[str, ModelToAsk]:
    """The job's name, and the model: that of an endpoint, or one of the package by the job's name."""
    from lambdas.deployer import handler as deployer
    from pipeline import clarify, predictions, registry

    sagemaker = clients("sagemaker")
    name = deployer.unique_name(clarify.prefix(settings))
    if endpoint:
        classes = predictions.deployed_classes(sagemaker, endpoint) or settings.classes
        return name, clarify.model_behind(sagemaker, endpoint, classes)
    chosen = registry.approved(sagemaker, settings.model_package_group, package)
    classes = tuple(registry.describe(clients, chosen).metadata.get("classes", "").split())
    return name, clarify.ModelToAsk(name, classes or settings.classes, package=chosen.arn)


def _require_library() -> None:
    missing = [name for name in ("torch", "captum", "seaborn") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"{' and '.join(missing)} must be there to explain a model: pip install 'scones[explain]'"
        )


def _chosen(
    clients: Clients, settings: Settings, package: str | None, endpoint: str | None
) -> tuple[str, Package | None]:
    """What is asked, in words, and the package unless it is the endpoint."""
    from pipeline import endpoints, registry

    sagemaker = clients("sagemaker")
    if endpoint:
        endpoints.describe(sagemaker, endpoint)
        return f"endpoint {endpoint}", None
    found = registry.find(sagemaker, settings.model_package_group, package)
    return f"package {found.version}", found


def _line(explanation: Explanation) -> str:
    checks = "; ".join(
        f"{found.method}: {found.check.strongest:.3f} with the strongest tenth hidden, "
        f"{found.check.elsewhere:.3f} with as much elsewhere, "
        f"{'holds' if found.check.holds else 'does not hold'}"
        for found in explanation.maps
    )
    return f"{explanation.name}\t{explanation.explained}\t{explanation.probability():.3f}\t{checks}"
