"""`scones endpoint deploy`: a package into service, or the truth about why not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.deployer import handler as deployer
from pipeline import alarms, autoscaling, endpoints, smoke
from pipeline.endpoint_template import template
from pipeline.endpoints import DeployError, NoEndpointError
from pipeline.errors import sentence

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.registry import Package
    from pipeline.settings import Settings

OnStatus = Callable[[str], None]
AWS_ERRORS = (ClientError, BotoCoreError)
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack")


@dataclass
class Record:
    """What a deployment did.

    Attributes:
        statuses: the endpoint's, with the seconds at which each was first seen.
        raised_alarms: in ALARM before an update, which they therefore could not guard.
    """

    endpoint: str
    environment: str
    action: str
    package: str
    config: str
    previous_config: str | None
    previous_package: str | None
    started: datetime
    tags: dict[str, str] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    smoke_test: dict[str, Any] | None = None
    alarms: list[str] = field(default_factory=list)
    raised_alarms: list[str] = field(default_factory=list)
    scaling: dict[str, Any] | None = None
    outcome: str = "InProgress"
    reason: str | None = None
    ended: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def deploy(
    clients: Clients,
    settings: Settings,
    package: Package,
    on_name: Callable[[Record], None] = lambda _: None,
    on_status: OnStatus = lambda _: None,
    new: bool = False,
) -> Record:
    """The environment's endpoint updated to the package, or made; `new` makes another one beside it.

    Args:
        on_name: is told of the endpoint before it is waited for.
        on_status: hears of each status, also when it is the one before.

    Raises:
        DeployError: the package does not serve, or not with all that belongs to it; the message and
            `error.record` say which, and what serves.
    """
    sagemaker, made_from = clients("sagemaker"), template(settings)
    current = (
        None
        if new
        else deployer.find_endpoint(sagemaker, settings.endpoint_name_prefix, settings.environment)
    )
    if current and current["EndpointStatus"] in deployer.BUSY:
        raise DeployError(
            f"the endpoint {current['EndpointName']} is {current['EndpointStatus']}: wait for that to end"
        )
    name, previous = (current["EndpointName"], current["EndpointConfigName"]) if current else (None, None)
    raised: list[str] = []
    if name:
        alarms.ensure(clients("cloudwatch"), settings.hosting, name, only_missing=True)
        states = deployer.alarm_states(clients, made_from, name)
        raised = [alarm for alarm, state in states.items() if state == "ALARM"]
    started = datetime.now(UTC)
    endpoint, config = deployer.begin(clients, made_from, package.arn, name)
    record = Record(
        endpoint=endpoint,
        environment=settings.environment,
        action="update" if name else "create",
        package=package.arn,
        config=config,
        previous_config=previous,
        previous_package=deployer.deployed_package(sagemaker, previous) if previous else None,
        started=started,
        tags=deployer.tags_of(sagemaker, made_from, package.arn),
        raised_alarms=raised,
    )
    on_name(record)
    _finish(clients, settings, record, on_status)
    return record


def rollback(
    clients: Clients,
    settings: Settings,
    on_name: Callable[[Record], None] = lambda _: None,
    on_status: OnStatus = lambda _: None,
) -> Record:
    """The environment's endpoint back to the config before, all at once.

    Raises:
        NoEndpointError: there is no endpoint, or nothing to go back to.
        DeployError: as `deploy`.
    """
    sagemaker = clients("sagemaker")
    current = deployer.find_endpoint(sagemaker, settings.endpoint_name_prefix, settings.environment)
    if current is None:
        raise NoEndpointError(
            f"environment {settings.environment} has no endpoint: see `scones endpoint list`"
        )
    endpoint, live = current["EndpointName"], current["EndpointConfigName"]
    serving = deployer.deployed_package(sagemaker, live)
    # No newer ones: those never served, or were made meanwhile.
    earlier = _older(deployer.configs_of(sagemaker, settings.endpoint_name_prefix, endpoint), live)
    if not earlier:
        raise NoEndpointError(f"the endpoint {endpoint} has no earlier package to go back to")
    target = _of_another_package(sagemaker, earlier, serving) or earlier[0]
    package = deployer.deployed_package(sagemaker, target)
    if package is None:
        raise NoEndpointError(f"the package behind {target} is gone, so there is nothing to go back to")
    record = Record(
        endpoint=endpoint,
        environment=settings.environment,
        action="rollback",
        package=package,
        config=target,
        previous_config=live,
        previous_package=serving,
        started=datetime.now(UTC),
        tags=deployer.tags_of(sagemaker, template(settings), package),
    )
    _go_back(sagemaker, settings, endpoint, target)
    on_name(record)
    _finish(clients, settings, record, on_status)
    return record


def _finish(clients: Clients, settings: Settings, record: Record, on_status: OnStatus) -> None:
    """Waits, tests, and only then tidies up. Raises DeployError with the record."""
    sagemaker, begin = clients("sagemaker"), time.monotonic()
    answer = _wait(sagemaker, settings, record, on_status, begin)
    if not _serves(answer, record.config):
        _fail(clients, settings, record, answer, answer.get("FailureReason", "no reason given"))
    try:
        record.smoke_test = smoke.test(clients, settings, record.endpoint, record.package)
    except (smoke.SmokeTestError, *AWS_ERRORS) as error:
        reason = str(sentence(error))
        try:
            if record.previous_config:
                _go_back(sagemaker, settings, record.endpoint, record.previous_config)
                answer = _wait(sagemaker, settings, record, on_status, begin)
        except AWS_ERRORS as refusal:
            reason += f"; and then {sentence(refusal)}"
        _fail(clients, settings, record, answer, reason)
    record.outcome = "InService"
    refusals = _complete(clients, settings, record, answer["EndpointArn"])
    record.ended = datetime.now(UTC)
    if refusals:
        record.reason = "; ".join(refusals)
        rest = f"`scones endpoint deploy --environment {record.environment} --package {record.package}`"
        raise DeployError(
            f"package {record.package} is in service at {record.endpoint}, but not all that belongs to it: "
            f"{record.reason}; when that is mended, "
            f"{'the next deployment' if record.action == 'rollback' else rest} does the rest",
            record,
        )


def _complete(clients: Clients, settings: Settings, record: Record, arn: str) -> list[str]:
    """What belongs to an endpoint that serves; returns what AWS refused of it, a sentence each."""
    sagemaker, hosting = clients("sagemaker"), settings.hosting

    def tag() -> None:
        tags = [{"Key": key, "Value": value} for key, value in record.tags.items()]
        sagemaker.add_tags(ResourceArn=arn, Tags=tags)

    def watch() -> None:
        record.alarms = alarms.ensure(clients("cloudwatch"), hosting, record.endpoint)

    def scale() -> None:
        record.scaling = autoscaling.ensure(clients("application-autoscaling"), hosting, record.endpoint)

    refusals = []
    for what, do in (
        ("tags", tag),
        ("alarms", watch),
        ("scaling", scale),
        ("the end of old configs", partial(_prune, sagemaker, settings, record)),
    ):
        try:
            do()
        except AWS_ERRORS as error:
            refusals.append(f"{what} ({sentence(error)})")
    return refusals


def _serves(answer: dict[str, Any], config: str | None) -> bool:
    return bool(answer["EndpointStatus"] == "InService" and answer["EndpointConfigName"] == config)


def _go_back(sagemaker: Any, settings: Settings, endpoint: str, config: str) -> None:
    """All at once, with as many instances as there are now."""
    kept = template(settings).get("update", {})
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, **kept)


def _wait(
    sagemaker: Any, settings: Settings, record: Record, on_status: OnStatus, begin: float
) -> dict[str, Any]:
    while True:
        answer: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=record.endpoint)
        status = answer["EndpointStatus"]
        if not record.statuses or record.statuses[-1]["status"] != status:
            record.statuses.append({"status": status, "seconds": round(time.monotonic() - begin, 1)})
        on_status(status)
        if status not in IN_PROGRESS:
            return answer
        time.sleep(settings.poll_seconds)


def _fail(
    clients: Clients, settings: Settings, record: Record, answer: dict[str, Any], reason: str
) -> NoReturn:
    """Deletes what does not serve: a new endpoint with all that is its own, or the config of an update.

    Where neither package is known to serve, all stays as it is, for a person to look at.
    """
    record.outcome, record.reason, record.ended = "Failed", reason, datetime.now(UTC)
    try:
        after = _put_away(clients, settings, record, answer)
    except (NoEndpointError, *AWS_ERRORS) as error:
        after = f"and what was made for it could not be deleted ({sentence(error)})"
    raise DeployError(f"package {record.package} is not in service, {after}: {reason}", record)


def _put_away(clients: Clients, settings: Settings, record: Record, answer: dict[str, Any]) -> str:
    """What is there afterwards, for a person."""
    name, status, config = record.endpoint, answer["EndpointStatus"], answer["EndpointConfigName"]
    if record.action == "create" and config == record.config:
        endpoints.delete_all(clients, settings, name)
        return f"the endpoint {name} was deleted"
    if _serves(answer, record.previous_config):
        if record.action == "update":
            deployer.remove(clients("sagemaker"), record.config)
        return f"the endpoint {name} goes on with {record.previous_package}"
    if status == "InService" and config != record.config:
        return f"the endpoint {name} serves {config}, which somebody else deployed; nothing was deleted"
    return f"the endpoint {name} did not go back to its old model and is {status}; nothing was deleted"


def _prune(sagemaker: Any, settings: Settings, record: Record) -> None:
    """Keeps the config that serves and what one may go back to; after a rollback, that is nothing.

    What is newer than this deployment is another's, and stays.
    """
    configs = deployer.configs_of(sagemaker, settings.endpoint_name_prefix, record.endpoint)
    kept: set[str | None] = {record.config}
    if record.previous_config and record.action != "rollback":
        served = [record.previous_config, *_older(configs, record.previous_config)]
        kept |= {record.previous_config, _of_another_package(sagemaker, served, record.package)}
    newest = record.previous_config if record.action == "rollback" else record.config
    for config in (newest, *_older(configs, newest)):
        if config and config not in kept:
            deployer.remove(sagemaker, config)


def _older(configs: list[str], config: str | None) -> list[str]:
    """Those that were made before it; `configs` are the newest first."""
    return configs[configs.index(config) + 1 :] if config in configs else []


def _of_another_package(sagemaker: Any, configs: list[str], package: str | None) -> str | None:
    """The newest of the configs that serves another package: one may be deployed several times in a row."""
    served = ((config, deployer.deployed_package(sagemaker, config)) for config in configs)
    return next((config for config, other in served if other not in (None, package)), None)
