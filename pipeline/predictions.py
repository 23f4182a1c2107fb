"""Asking an endpoint: one image in, a probability for each class out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.endpoints import describe, no_endpoint

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

CONTENT_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
# Inference ids of requests of our own: a test of the endpoint, the demo's search for images to send, and the
# many variants of one image that explain an answer.
SMOKE_TEST = "smoke-test"
PROBE = "demo-probe"
EXPLANATION = "explanation"


class PredictError(Exception):
    """A request that the model refused, or answered with something else than probabilities."""


@dataclass(frozen=True)
class Prediction:
    """Probabilities in the order of the classes."""

    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def predicted(self) -> str:
        return self.classes[max(range(len(self.probabilities)), key=self.probabilities.__getitem__)]

    @property
    def confidence(self) -> float:
        return max(self.probabilities)


def invoke(
    runtime: Any, name: str, image: bytes, content_type: str, inference_id: str | None = None
) -> list[float]:
    """The endpoint's probabilities for one image.

    Raises:
        NoEndpointError: no such endpoint is in service.
        PredictError: the model refused the image, in its own words, or answered something else.
    """
    extra = {"InferenceId": inference_id} if inference_id else {}
    try:
        response = runtime.invoke_endpoint(
            EndpointName=name, Body=image, ContentType=content_type, Accept="application/json", **extra
        )
    except ClientError as error:
        details = error.response["Error"]
        if details["Code"] == "ModelError":
            message = error.response.get("OriginalMessage") or details["Message"]
            raise PredictError(f"the model at {name} refused the request: {message}") from None
        if details["Code"] == "ValidationError" and "not found" in details["Message"]:
            raise no_endpoint(name) from None
        raise
    answer = response["Body"].read()
    try:
        return [float(value) for value in json.loads(answer)]
    except (ValueError, TypeError, RecursionError):
        raise PredictError(f"the model at {name} answered {answer!r:.80}, not a list of numbers") from None


def predict(clients: Clients, settings: Settings, name: str, image: bytes, content_type: str) -> Prediction:
    """One prediction with the names of the classes that the deployed package was trained on."""
    classes = deployed_classes(clients("sagemaker"), name) or settings.classes
    probabilities = invoke(clients("sagemaker-runtime"), name, image, content_type)
    return Prediction(classes, tuple(checked(name, probabilities, classes)))


def checked(name: str, probabilities: list[float], classes: tuple[str, ...]) -> list[float]:
    """The probabilities, if there is one for each class.

    Raises:
        PredictError: there are more, or fewer.
    """
    if len(probabilities) != len(classes):
        raise PredictError(
            f"the model at {name} answered {len(probabilities)} probabilities for the {len(classes)} "
            f"classes {', '.join(classes)}"
        )
    return probabilities


@dataclass(frozen=True)
class Deployed:
    """What an endpoint serves.

    Attributes:
        package: DescribeModelPackage's answer; None if what is served is not made from one.
        at: when it was configured; some minutes later it answered.
    """

    endpoint: str
    package: dict[str, Any] | None
    at: datetime

    @property
    def classes(self) -> tuple[str, ...] | None:
        """In the metadata of the package, where there are any."""
        metadata = (self.package or {}).get("CustomerMetadataProperties", {})
        return tuple(metadata.get("classes", "").split()) or None


def deployed(sagemaker: Any, name: str) -> Deployed:
    """What the endpoint serves now.

    Raises:
        NoEndpointError: no endpoint has this name.
    """
    endpoint = describe(sagemaker, name)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    containers = model.get("Containers") or [model.get("PrimaryContainer", {})]
    arn = containers[0].get("ModelPackageName")
    package = dict(sagemaker.describe_model_package(ModelPackageName=arn)) if arn else None
    return Deployed(name, package, config["CreationTime"])


def deployed_classes(sagemaker: Any, name: str) -> tuple[str, ...] | None:
    """The classes of the package behind the endpoint, if they are known."""
    return deployed(sagemaker, name).classes
