"""The inference workflow with the settings' names, and the images that go through it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import endpoints, predictions, thresholds
from pipeline.errors import is_missing
from workflows import stacks
from workflows.plan import WorkflowPlan

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings


class ImageError(Exception):
    """An image that the workflow would not read."""


class NoWorkflowError(Exception):
    """The state machine is not there."""


@contextmanager
def deployed_workflow() -> Iterator[None]:
    """Inside, a missing state machine is told as what to do about it."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != "StateMachineDoesNotExist":
            raise
        raise NoWorkflowError(
            "the inference workflow is not deployed: run `scones workflow deploy`"
        ) from None


def workflow_plan(
    settings: Settings, endpoint_name: str = "", threshold: float = thresholds.FALLBACK
) -> WorkflowPlan:
    """What to deploy, or, without an endpoint, what the deployed parts are called.

    The threshold is the endpoint's: `thresholds.of_endpoint`.
    """
    # arn:<partition>:iam::<account>:role/<name>: the account is known without asking.
    _, partition, _, _, account, _ = settings.role_arn.split(":", 5)
    return WorkflowPlan(
        bucket=settings.bucket,
        prefix=settings.prefix,
        endpoint_name=endpoint_name,
        threshold=threshold,
        account=account,
        region=settings.region,
        name_prefix=settings.endpoint_name_prefix,
        partition=partition,
        key_arn=settings.kms_key_arn,
        model_package_group=settings.model_package_group,
        approval_target_arn=settings.approval_target_arn,
        notification_email=settings.notification_email,
        review=settings.review,
        review_timeout_seconds=settings.review_timeout_seconds,
        review_heartbeat_seconds=settings.review_heartbeat_seconds,
        log_retention_days=settings.log_retention_days,
        environment=settings.environment,
    )


def classes(clients: Clients, settings: Settings) -> tuple[str, ...]:
    """In the order of the probabilities of the endpoint that the workflow asks; else the settings'."""
    sagemaker = clients("sagemaker")
    stack = stacks.outputs(clients("cloudformation"), workflow_plan(settings).stack_name)
    if "EndpointName" not in stack:
        return settings.classes
    try:
        return predictions.deployed_classes(sagemaker, stack["EndpointName"]) or settings.classes
    except endpoints.NoEndpointError:
        return settings.classes
    except ClientError as error:  # its package or model is gone; people must be able to review all the same
        if not is_missing(error):
            raise
        return settings.classes


def image_keys(s3: Any, settings: Settings, images: Iterable[str]) -> list[str]:
    """Keys in the bucket: of `s3://` URIs as they are, of files after an upload.

    Raises:
        ImageError: a file that is not there, or an object where the workflow may not read.
    """
    place = workflow_plan(settings).images_prefix
    keys = []
    for image in images:
        if image.startswith("s3://"):
            bucket, _, key = image.removeprefix("s3://").partition("/")
            if bucket != settings.bucket or not key.startswith(place):
                raise ImageError(
                    f"{image} is not under s3://{settings.bucket}/{place}, where images are read from"
                )
            keys.append(key)
        else:
            keys.append(upload_image(s3, settings, Path(image)))
    return keys


def upload_image(s3: Any, settings: Settings, path: Path) -> str:
    """Puts the file under its content's digest and returns the key.

    Raises:
        ImageError: it is no file, or the bucket is not there.
    """
    if not path.is_file():
        raise ImageError(f"{path} is no file; an object is named as s3://bucket/key")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()[:16]
    key = f"{workflow_plan(settings).images_prefix}{digest}/{path.name}"
    try:
        s3.put_object(Bucket=settings.bucket, Key=key, Body=data)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
        raise ImageError(
            f"{path} has nowhere to go: there is no bucket {settings.bucket}, run `scones foundation deploy`"
        ) from None
    return key
