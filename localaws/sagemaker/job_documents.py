"""What the documents of all kinds of jobs go through alike: kept, found, listed, stopped, forgotten."""

from __future__ import annotations

from collections.abc import Callable

from localaws.documents import Document
from localaws.sagemaker.errors import (
    ResourceInUseError,
    ResourceNotFoundError,
    SageMakerError,
    ValidationError,
)
from localaws.sagemaker.jobs import Stop
from localaws.sagemaker.operations import now, page, public, tags_of
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.tags import drop_tags, set_tags

ACTIVE = ("InProgress", "Stopping")
# What SageMaker's messages call a kind; its events capitalise the words.
_WORDS = {
    "TrainingJob": "training job",
    "ProcessingJob": "processing job",
    "TransformJob": "transform job",
    "HyperParameterTuningJob": "hyperparameter tuning job",
}
_EVENTS = {"HyperParameterTuningJob": "HyperParameter Tuning Job"}
# How SageMaker says that a job is not there.
_MISSING: dict[str, tuple[type[SageMakerError], str]] = {
    "TrainingJob": (ValidationError, "Requested resource not found."),
    "ProcessingJob": (ValidationError, "Could not find requested job with name: {}"),
    "TransformJob": (ValidationError, "Could not find requested job with name: {}"),
    "HyperParameterTuningJob": (
        ResourceNotFoundError,
        "Amazon SageMaker can't find a tuning job called {}. Type another name.",
    ),
}


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


def find(service: SageMakerService, kind: str, name: str) -> Document:
    """Raises the kind's own error, ValidationError or ResourceNotFoundError, where there is no such job."""
    document = service.store.get(kind, name)
    if document is None:
        error, message = _MISSING[kind]
        raise error(message.format(name))
    return document


def listed(
    service: SageMakerService,
    request: Document,
    kind: str,
    *more: str,
    summary: Callable[[Document], Document] = lambda document: document,
    order: str | None = None,
    default_limit: int = 100,
) -> Document:
    """Answers the kind's List operation; `more` are members beside those that the lists of all kinds have.

    For `summary`, `order` and `default_limit` see `page`.
    """
    name, status = f"{kind}Name", f"{kind}Status"
    ended = f"{kind.removesuffix('Job')}EndTime"
    return page(
        service.store.list(kind),
        request,
        member=f"{kind}Summaries",
        summary=summary,
        members=(name, f"{kind}Arn", "CreationTime", ended, "LastModifiedTime", status, *more),
        sort={"CreationTime": "CreationTime", "Name": name, "Status": status},
        name=name,
        order=order,
        default_limit=default_limit,
    )


def stop(
    service: SageMakerService, kind: str, name: str, change: Callable[[Document], None] = lambda _: None
) -> None:
    """Sets the job's document to Stopping, makes `change` with that, and asks what runs to stop.

    Raises what `find` raises, and ValidationError if the job has ended.
    """
    document = set_stopping(service, kind, name, change)
    service.jobs.ask_to_stop(document[f"{kind}Arn"], Stop.USER)


def set_stopping(
    service: SageMakerService, kind: str, name: str, change: Callable[[Document], None] = lambda _: None
) -> Document:
    """The document, now Stopping: all that a run needs which watches it. Raises as `stop` does."""
    find(service, kind, name)

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


def forget(service: SageMakerService, kind: str, name: str) -> None:
    """Deletes a job that has ended. Raises what `find` raises, and ResourceInUseError."""
    document = find(service, kind, name)
    arn, status = document[f"{kind}Arn"], document[f"{kind}Status"]
    if status in ACTIVE:
        raise ResourceInUseError(f"{arn} is {status}.")
    with service.store.transaction():
        service.store.delete(kind, name)
        drop_tags(service, arn)


def announce(service: SageMakerService, kind: str, document: Document) -> None:
    """Tells of a job's new state; the event's detail is what Describe answers, its times in milliseconds."""
    words = _EVENTS.get(kind) or _WORDS[kind].title()
    detail = {
        key: int(value * 1000) if key.endswith("Time") else value for key, value in public(document).items()
    }
    service.emit(f"SageMaker {words} State Change", [document[f"{kind}Arn"]], detail)
