"""Endpoints: deploy a registered package, wait for it, list, delete."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.registry import Package

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

VARIANT = "AllTraffic"


class NoEndpointError(Exception):
    """An endpoint that does not exist, or none in service."""


class DeployError(Exception):
    """An endpoint that did not come into service; `record` says what was done, where that is known."""

    def __init__(self, message: str, record: Any = None) -> None:
        super().__init__(message)
        self.record = record


@dataclass(frozen=True)
class Endpoint:
    name: str
    status: str
    created: datetime
    modified: datetime


def unique_name(prefix: str) -> str:
    """`<prefix>-<UTC time>-<4 hexadecimal digits>`: sorts by time, and two of one second differ."""
    return f"{prefix}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def capture_uri(settings: Settings) -> str:
    """Where SageMaker puts captured records: below it `<endpoint>/<variant>/YYYY/MM/DD/HH/`."""
    return settings.s3_uri("capture")


def deploy(clients: Clients, settings: Settings, package: Package) -> str:
    """Creates model, endpoint config and endpoint, all of one unique name, and returns it; see `wait`.

    What was made is deleted again if a later part is refused.
    """
    sagemaker = clients("sagemaker")
    name = unique_name(settings.endpoint_name_prefix)
    tags = [
        {"Key": "scones:model-package-arn", "Value": package.arn},
        {"Key": "scones:environment", "Value": settings.environment},
    ]
    with _removed_on_failure(sagemaker, name):
        sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=settings.role("model"),
            Containers=[{"ModelPackageName": package.arn}],
            Tags=tags,
        )
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {
                    "VariantName": VARIANT,
                    "ModelName": name,
                    "InstanceType": settings.endpoint_instance_type,
                    "InitialInstanceCount": 1,
                    "InitialVariantWeight": 1.0,
                }
            ],
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": capture_uri(settings),
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                # Whatever is not named here is captured as base64.
                "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
            },
            Tags=tags,
        )
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=tags)
    return name


def wait(
    sagemaker: Any, name: str, interval: float = 5.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """The endpoint's status, now and every `interval` seconds, until and including InService.

    Raises:
        DeployError: it failed. The endpoint, its config and its model are deleted then.
    """
    while True:
        response = sagemaker.describe_endpoint(EndpointName=name)
        status = response["EndpointStatus"]
        yield status
        if status == "InService":
            return
        if status not in ("Creating", "Updating", "SystemUpdating"):
            reason = response.get("FailureReason", "no reason given")
            _remove(sagemaker, name, [name])
            raise DeployError(f"the endpoint {name} became {status} and was deleted: {reason}")
        sleep(interval)


def describe(sagemaker: Any, name: str) -> dict[str, Any]:
    """DescribeEndpoint's answer.

    Raises:
        NoEndpointError: no endpoint has this name.
    """
    try:
        return dict(sagemaker.describe_endpoint(EndpointName=name))
    except ClientError as error:
        if _is_missing(error):
            raise no_endpoint(name) from None
        raise


def endpoints(sagemaker: Any, prefix: str, in_service: bool = False) -> list[Endpoint]:
    """Those whose names begin with the prefix and a hyphen, the newest first."""
    extra = {"StatusEquals": "InService"} if in_service else {}
    pages = sagemaker.get_paginator("list_endpoints").paginate(
        NameContains=prefix, SortBy="CreationTime", SortOrder="Descending", **extra
    )
    return [
        Endpoint(
            name=endpoint["EndpointName"],
            status=endpoint["EndpointStatus"],
            created=endpoint["CreationTime"],
            modified=endpoint["LastModifiedTime"],
        )
        for page in pages
        for endpoint in page["Endpoints"]
        if endpoint["EndpointName"].startswith(f"{prefix}-")
    ]


def newest(sagemaker: Any, settings: Settings) -> str:
    """The name of the newest endpoint in service.

    Raises:
        NoEndpointError: there is none.
    """
    found = endpoints(sagemaker, settings.endpoint_name_prefix, in_service=True)
    if not found:
        raise NoEndpointError("no endpoint is in service: run `scones endpoint deploy`")
    return found[0].name


def delete(sagemaker: Any, name: str) -> list[str]:
    """Deletes the endpoint, its config and the models of its variants, and nothing else; returns what went.

    A deletion that was cut short is finished by the next: the three carry one name.

    Raises:
        NoEndpointError: nothing of this name is there.
    """
    try:
        config = describe(sagemaker, name)["EndpointConfigName"]
    except NoEndpointError:
        config = name
    models = [name]
    try:
        variants = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        models = [variant["ModelName"] for variant in variants]
    except ClientError as error:
        if not _is_missing(error):
            raise
    removed = _remove(sagemaker, name, models, config)
    if not removed:
        raise no_endpoint(name)
    return removed


def configs_of(sagemaker: Any, settings: Settings, endpoint: str) -> list[str]:
    """The endpoint configs that were made for the endpoint, the newest first."""
    pages = sagemaker.get_paginator("list_endpoint_configs").paginate(
        NameContains=settings.endpoint_name_prefix, SortBy="CreationTime", SortOrder="Descending"
    )
    tag = {"Key": "scones:endpoint", "Value": endpoint}
    return [
        config["EndpointConfigName"]
        for page in pages
        for config in page["EndpointConfigs"]
        if tag in sagemaker.list_tags(ResourceArn=config["EndpointConfigArn"])["Tags"]
    ]


def delete_all(clients: Clients, settings: Settings, name: str) -> list[str]:
    """Deletes the endpoint as `delete` does, and what only it has: old configs, models, scaling, alarms.

    Raises:
        NoEndpointError: nothing of this name is there.
    """
    from lambdas.deployer import handler as deployer
    from pipeline import alarms, autoscaling

    sagemaker = clients("sagemaker")
    earlier = configs_of(sagemaker, settings, name)
    removed = autoscaling.remove(clients("application-autoscaling"), name)
    removed += delete(sagemaker, name)
    for config in earlier:
        if f"endpoint config {config}" not in removed:
            deployer.remove(sagemaker, config)
            removed += [f"endpoint config {config}", f"model {config}"]
    return removed + alarms.remove(clients("cloudwatch"), name)


def _remove(sagemaker: Any, name: str, models: list[str], config: str | None = None) -> list[str]:
    calls: list[tuple[str, Callable[[], Any]]] = [
        (f"endpoint {name}", lambda: sagemaker.delete_endpoint(EndpointName=name)),
        (
            f"endpoint config {config or name}",
            lambda: sagemaker.delete_endpoint_config(EndpointConfigName=config or name),
        ),
    ]
    for model in dict.fromkeys(models):
        calls.append((f"model {model}", lambda model=model: sagemaker.delete_model(ModelName=model)))  # type: ignore[misc]
    removed = []
    for what, call in calls:
        try:
            call()
        except ClientError as error:
            if not _is_missing(error):
                raise
        else:
            removed.append(what)
    return removed


@contextmanager
def _removed_on_failure(sagemaker: Any, name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _remove(sagemaker, name, [name])
        raise


def _is_missing(error: ClientError) -> bool:
    """SageMaker says so in a ValidationException's text, where other services have a code for it."""
    details = error.response["Error"]
    return details["Code"] in ("ResourceNotFound", "ResourceNotFoundException") or (
        details["Code"] == "ValidationException" and "could not find" in details["Message"].lower()
    )


def no_endpoint(name: str) -> NoEndpointError:
    return NoEndpointError(f"there is no endpoint {name}: see `scones endpoint list`")
