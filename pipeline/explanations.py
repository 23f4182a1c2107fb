"""Explaining the model of a registered package, or whatever answers at an endpoint.

Importing it needs torch and captum, which the extra `explain` brings.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitoring.explain.model import ArchiveError, Model, black_box, network
from pipeline import objects, predictions, registry

if TYPE_CHECKING:
    from monitoring.explain.maps import Explanation
    from pipeline.clients import Clients
    from pipeline.registry import Package
    from pipeline.settings import Settings


class NotExplainableError(Exception):
    """A package whose model cannot be opened here."""


def package_model(clients: Clients, package: Package) -> Model:
    """The network that the package would deploy.

    Raises:
        NotExplainableError: its model.tar.gz is gone or is another's.
    """
    uri = registry.describe(clients, package).model_data
    content = objects.read_if_there(clients("s3"), uri)
    if content is None:
        raise NotExplainableError(f"the model of package {package.version} is gone: there is no {uri}")
    with tempfile.NamedTemporaryFile(prefix="model-", suffix=".tar.gz") as file:
        file.write(content)
        file.flush()
        try:
            return network(Path(file.name))
        except ArchiveError as error:
            raise NotExplainableError(
                f"package {package.version} has no gradients to look at: {error}; deploy it and explain its "
                "answers with --endpoint NAME"
            ) from None


def endpoint_model(clients: Clients, settings: Settings, name: str) -> Model:
    """What answers there, of which nothing but its answers is known.

    Its requests carry an inference id of their own, by which monitoring leaves them out.

    Raises:
        NoEndpointError: no endpoint has this name.
    """
    classes = predictions.deployed_classes(clients("sagemaker"), name) or settings.classes
    runtime = clients("sagemaker-runtime")

    def ask(png: bytes) -> list[float]:
        answer = predictions.invoke(runtime, name, png, "image/png", predictions.EXPLANATION)
        return predictions.checked(name, answer, classes)

    return black_box(classes, ask)


def as_dict(explanation: Explanation) -> dict[str, Any]:
    """For JSON: each map's values as rows of bits, from the top."""
    return {
        "image": explanation.name,
        "size": [explanation.pixels.shape[1], explanation.pixels.shape[0]],
        "predicted": explanation.predicted,
        "explained": explanation.explained,
        "probabilities": dict(zip(explanation.classes, explanation.probabilities, strict=True)),
        "maps": [
            {
                "method": found.method,
                "bits": [[round(float(value), 5) for value in row] for row in found.values],
                "sum": float(found.values.sum()),
                "difference_from_blurred": found.difference,
                "check": asdict(found.check),
            }
            for found in explanation.maps
        ],
    }
