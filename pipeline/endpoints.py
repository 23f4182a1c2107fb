"""Endpoints: list, describe, delete. `deployment` makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from lambdas.deployer import handler as deployer
from pipeline.errors import is_missing

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings


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


def capture_uri(settings: Settings) -> str:
    """Where SageMaker puts captured records: below it `<endpoint>/<variant>/YYYY/MM/DD/HH/`."""
    return settings.s3_uri("capture")


def describe(sagemaker: Any, name: str) -> dict[str, Any]:
    """DescribeEndpoint's answer.

    Raises:
        NoEndpointError: no endpoint has this name.
    """
    try:
        return dict(sagemaker.describe_endpoint(EndpointName=name))
    except ClientError as error:
        if is_missing(error):
            raise no_endpoint(name) from None
        raise


def endpoints(
    sagemaker: Any,
    prefix: str,
    in_service: bool = False,
    ours: Callable[[str, str], bool] = deployer.is_ours,
) -> list[Endpoint]:
    """Those that were made with this very prefix, the newest first; `ours` is told a name and the prefix."""
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
        if ours(endpoint["EndpointName"], prefix)
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
        if not is_missing(error):
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
            if not is_missing(error):
                raise
        else:
            removed.append(what)
    return removed


def no_endpoint(name: str) -> NoEndpointError:
    return NoEndpointError(f"there is no endpoint {name}: see `scones endpoint list`")
