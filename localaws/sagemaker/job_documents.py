"""What the documents of all kinds of jobs go through alike: kept once a name, stopped, forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localaws.sagemaker.errors import ResourceInUseError, ValidationError
from localaws.sagemaker.operations import now, public, tags_of
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.tags import drop_tags, set_tags

Document = dict[str, Any]

ACTIVE = ("InProgress", "Stopping")
# What SageMaker's messages call a kind; its events capitalise the words.
_WORDS = {
    "TrainingJob": "training job",
    "ProcessingJob": "processing job",
    "TransformJob": "transform job",
    "HyperParameterTuningJob": "hyperparameter tuning job",
}
_EVENTS = {"HyperParameterTuningJob": "HyperParameter Tuning Job"}


def keep(service: SageMakerService, kind: str, document: Document, request: Document) -> None:
    """Stores a new job with its request's tags, and tells of it. Raises ResourceInUseError."""
    name, arn, words = document[f"{kind}Name"], document[f"{kind}Arn"], _WORDS[kind]
    with service.store.transaction():
        if service.store.get(kind, name):
            raise ResourceInUseError(
                f"{words.capitalize()} names must be unique within an AWS account and region, and a {words} "
                f"with this name already exists ({arn})"
            )
        service.store.put(kind, name, document)
        set_tags(service, arn, tags_of(request))
    announce(service, kind, document)


def stop(
    service: SageMakerService, kind: str, name: str, change: Callable[[Document], None] = lambda _: None
) -> Document:
    """The document, now Stopping; `change` is made with it. Raises ValidationError if the job has ended."""

    def stopping(document: Document) -> None:
        refuse_unless_active(kind, document)
        document[f"{kind}Status"] = "Stopping"
        document["LastModifiedTime"] = now()
        change(document)

    document = service.store.update(kind, name, stopping)
    announce(service, kind, document)
    return document


def refuse_unless_active(kind: str, document: Document) -> None:
    status = document[f"{kind}Status"]
    if status not in ACTIVE:
        raise ValidationError(f"The request was rejected because the {_WORDS[kind]} is in status {status}.")


def forget(service: SageMakerService, kind: str, document: Document) -> None:
    """Deletes a job that has ended. Raises ResourceInUseError."""
    arn, status = document[f"{kind}Arn"], document[f"{kind}Status"]
    if status in ACTIVE:
        raise ResourceInUseError(f"{arn} is {status}.")
    with service.store.transaction():
        service.store.delete(kind, document[f"{kind}Name"])
        drop_tags(service, arn)


def announce(service: SageMakerService, kind: str, document: Document) -> None:
    """Tells of a job's new state; the event's detail is what Describe answers, its times in milliseconds."""
    words = _EVENTS.get(kind) or _WORDS[kind].title()
    detail = {
        key: int(value * 1000) if key.endswith("Time") else value for key, value in public(document).items()
    }
    service.emit(f"SageMaker {words} State Change", [document[f"{kind}Arn"]], detail)
