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
    sagemaker: Any, prefix: str, ours: Callable[[str, str], bool] = deployer.is_ours
) -> list[Endpoint]:
    """Those that were made with this very prefix, the newest first; `ours` is told a name and the prefix."""
    pages = sagemaker.get_paginator("list_endpoints").paginate(
        NameContains=prefix, SortBy="CreationTime", SortOrder="Descending"
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


def delete_all(clients: Clients, settings: Settings, name: str) -> list[str]:
    """Deletes the endpoint as `delete` does, and what only it has: old configs, models, scaling, alarms.

    Raises:
        NoEndpointError: nothing of this name is there.
        DeployError: it is being changed, and SageMaker deletes none that is.
    """
    from pipeline import alarms, autoscaling

    sagemaker = clients("sagemaker")
    _require_idle(sagemaker, name)
    earlier = deployer.configs_of(sagemaker, settings.endpoint_name_prefix, name)
    removed = autoscaling.remove(clients("application-autoscaling"), name)
    removed += delete(sagemaker, name)
    for config in earlier:
        if f"endpoint config {config}" not in removed:
            deployer.remove(sagemaker, config)
            removed += [f"endpoint config {config}", f"model {config}"]
    return removed + alarms.remove(clients("cloudwatch"), name)


def _require_idle(sagemaker: Any, name: str) -> None:
    """Before anything else is taken from an endpoint that stays."""
    try:
        status = describe(sagemaker, name)["EndpointStatus"]
    except NoEndpointError:
        return
    if status in deployer.BUSY and status != "Deleting":
        raise DeployError(f"the endpoint {name} is {status}: wait for that to end")


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
