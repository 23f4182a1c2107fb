"""Which endpoint an environment has, and what it serves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from lambdas.deployer import handler as deployer
from pipeline import endpoints, registry
from pipeline.endpoints import DeployError, Endpoint, NoEndpointError

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.registry import Package
    from pipeline.settings import Settings

# An update goes on beside what serves.
ANSWERING = ("InService", "Updating", "SystemUpdating", "RollingBack")


PROD = "prod"


def require_staged(clients: Clients, settings: Settings, package: Package) -> None:
    """For prod: raises DeployError unless staging serves the very package."""
    if settings.environment != PROD:
        return
    if package.arn != staged_package(clients, settings, "staging").arn:
        raise DeployError(
            f"prod takes what staging serves, and package {package.version} is not that: "
            "deploy it with `scones endpoint deploy --environment staging` first"
        )


def endpoint_of(
    clients: Clients, settings: Settings, environment: str, statuses: tuple[str, ...] = ("InService",)
) -> str:
    """The name of the environment's endpoint.

    Raises:
        NoEndpointError: it has none, or one of another status.
    """
    found = deployer.find_endpoint(clients("sagemaker"), settings.endpoint_name_prefix, environment)
    if found is None or found["EndpointStatus"] not in statuses:
        raise NoEndpointError(
            f"the environment {environment} has no endpoint in service: `scones endpoint deploy "
            f"--environment {environment}` makes one, `scones endpoint list` shows those of others"
        )
    return str(found["EndpointName"])


def chosen(clients: Clients, settings: Settings, endpoint: str | None) -> str:
    """The endpoint to ask or look at: the one that a person named, or else that of the settings' environment.

    Raises:
        NoEndpointError: it is not there, or does not answer.
    """
    if endpoint is None:
        return endpoint_of(clients, settings, settings.environment, ANSWERING)
    return str(endpoints.describe(clients("sagemaker"), endpoint)["EndpointName"])


@dataclass(frozen=True)
class Serving(Endpoint):
    """An endpoint; `package` is `<group>/<version>`, None where it serves none."""

    environment: str | None
    package: str | None


def serving(sagemaker: Any, settings: Settings) -> list[Serving]:
    """All endpoints, the newest first."""
    found = []
    for endpoint in endpoints.endpoints(sagemaker, settings.endpoint_name_prefix):
        try:
            described = sagemaker.describe_endpoint(EndpointName=endpoint.name)
            tags = sagemaker.list_tags(ResourceArn=described["EndpointArn"])["Tags"]
        except ClientError as error:
            if deployer.is_missing(error):  # deleted meanwhile
                continue
            raise
        package = deployer.deployed_package(sagemaker, described["EndpointConfigName"])
        found.append(
            Serving(
                **asdict(endpoint),
                environment={tag["Key"]: tag["Value"] for tag in tags}.get("scones:environment"),
                package=registry.group_and_version(package) if package else None,
            )
        )
    return found


def staged_package(clients: Clients, settings: Settings, environment: str) -> Package:
    """The approved package that the environment's endpoint serves.

    Raises:
        NoEndpointError: the environment has no endpoint in service.
        registry.NoPackageError: its package is not approved any more.
    """
    sagemaker, name = clients("sagemaker"), endpoint_of(clients, settings, environment)
    config = endpoints.describe(sagemaker, name)["EndpointConfigName"]
    arn = deployer.deployed_package(sagemaker, config)
    if arn is None:
        raise NoEndpointError(f"what {name} serves is no registered package")
    return registry.approved(sagemaker, settings.model_package_group, arn)
