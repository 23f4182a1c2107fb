"""Deploys a model package that was approved, and says so when one that serves is rejected.

The target of the EventBridge rule on "SageMaker Model Package State Change"; `scones endpoint deploy`
begins its deployments with the same code.

Environment:
    TEMPLATE: how endpoints of the environment are made, as JSON.
    TOPIC_ARN: who hears of a rejection.
"""

import json
import logging
import os
import re
import secrets
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

VARIANT = "AllTraffic"
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
log = logging.getLogger(__name__)


class InvalidEventError(Exception):
    """The event is no state change of a model package."""


class EndpointBusyError(Exception):
    """The endpoint is being changed; Lambda tries the event again, after one and after two minutes."""


def lambda_handler(event: Any, _context: Any) -> Any:
    """Returns what was done, for the log and for tests: `{"action": …, …}`."""
    try:
        package = event["detail"]["ModelPackageArn"]
        status = event["detail"]["ModelApprovalStatus"]
    except (KeyError, TypeError):
        raise InvalidEventError(
            "the event has no detail with ModelPackageArn and ModelApprovalStatus"
        ) from None
    log.setLevel(logging.INFO)
    template = json.loads(os.environ["TEMPLATE"])
    if "ModelApprovalStatus" not in event["detail"].get("UpdatedModelPackageFields", ["ModelApprovalStatus"]):
        done = {"action": "none", "reason": "the status is as before"}
    elif status == "Approved":
        done = on_approval(template, package)
    elif status == "Rejected":
        done = on_rejection(template, package)
    else:
        done = {"action": "none", "status": status}
    log.info(json.dumps({"package": package, **done}))
    return done


def on_approval(template: Any, package: str) -> Any:
    """SageMaker may send an event more than once, and Lambda may try one again after a newer one."""
    sagemaker = client("sagemaker")
    if sagemaker.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"] != "Approved":
        return {"action": "none", "reason": "it is not approved any more"}
    newer = newest_approved(sagemaker, package)
    if version_of(newer) > version_of(package):
        return {"action": "none", "reason": f"{newer} is approved, too, and newer"}
    endpoint = find_endpoint(sagemaker, template["name_prefix"], template["environment"])
    if endpoint and deployed_package(sagemaker, endpoint["EndpointConfigName"]) == package:
        return {"action": "none", "endpoint": endpoint["EndpointName"]}
    if endpoint and endpoint["EndpointStatus"] in BUSY:
        pending = endpoint.get("PendingDeploymentSummary", {}).get("EndpointConfigName")
        if pending and deployed_package(sagemaker, pending) == package:
            return {"action": "none", "endpoint": endpoint["EndpointName"], "reason": "it is on its way"}
        raise EndpointBusyError(f"{endpoint['EndpointName']} is {endpoint['EndpointStatus']}")
    name, made = begin(client, template, package, endpoint["EndpointName"] if endpoint else None)
    return {"action": "updated" if endpoint else "created", "endpoint": name, "config": made}


def on_rejection(template: Any, package: str) -> Any:
    """Any environment's endpoint is told of: to go on serving is a person's decision."""
    sagemaker = client("sagemaker")
    serving = [
        endpoint["EndpointName"]
        for endpoint in endpoints(sagemaker, template["name_prefix"])
        if deployed_package(sagemaker, describe(sagemaker, endpoint)["EndpointConfigName"]) == package
    ]
    if serving:
        client("sns").publish(
            TopicArn=os.environ["TOPIC_ARN"],
            Subject="A deployed model was rejected",
            Message=f"{package} was rejected and still serves at {', '.join(serving)}. "
            "Go back with `scones endpoint rollback`.",
        )
    return {"action": "told" if serving else "none", "endpoints": serving}


def begin(clients: Any, template: Any, package: str, endpoint: str | None = None) -> tuple[str, str]:
    """Starts an endpoint with the package, or the update of `endpoint` to it.

    Returns the endpoint's name, and that of the new model and endpoint config. What was made is deleted again
    if a later part is refused. What an update left behind that its alarms undid, with nobody waiting for it,
    goes first: it never served, and nobody must go back to it.
    """
    sagemaker = clients("sagemaker")
    if endpoint:
        live = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        configs = configs_of(sagemaker, template["name_prefix"], endpoint)
        for config in configs[: configs.index(live)] if live in configs else []:
            remove(sagemaker, config)
    made = unique_name(template["name_prefix"])
    name = endpoint or made
    tags = [{"Key": key, "Value": value} for key, value in tags_of(sagemaker, template, package).items()]
    own = [*tags, {"Key": "scones:endpoint", "Value": name}]
    try:
        model = {"ModelName": made, "Containers": [{"ModelPackageName": package}], "Tags": own}
        sagemaker.create_model(ExecutionRoleArn=template["role_arn"], **model, **template["model"])
        variant = {
            "VariantName": VARIANT,
            "ModelName": made,
            "InitialVariantWeight": 1.0,
            **template["variant"],
        }
        sagemaker.create_endpoint_config(
            EndpointConfigName=made, ProductionVariants=[variant], Tags=own, **template["config"]
        )
        if endpoint:
            update = {"EndpointName": name, "EndpointConfigName": made}
            sagemaker.update_endpoint(**update, **update_options(clients, template, name))
        else:
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=made, Tags=tags)
    except BaseException:
        remove(sagemaker, made)
        raise
    return name, made


def tags_of(sagemaker: Any, template: Any, package: str) -> dict[str, str]:
    """Where what serves comes from: the package, the commit and the data of its training."""
    described = sagemaker.describe_model_package(ModelPackageName=package)
    metadata = described.get("CustomerMetadataProperties", {})
    tags = {"scones:environment": template["environment"], "scones:model-package-arn": package}
    for tag, key in (("scones:git-commit", "code_revision"), ("scones:data-sha256", "data_sha256")):
        if metadata.get(key):
            tags[tag] = metadata[key]
    return tags


def update_options(clients: Any, template: Any, endpoint: str) -> dict[str, Any]:
    """The template's DeploymentConfig with those of the endpoint's alarms that are there and quiet.

    One that is in ALARM already is of the model that serves: it would undo the update that may mend it.
    """
    options = dict(template.get("update", {}))
    deployment = template.get("deployment")
    if deployment:
        states = alarm_states(clients, template, endpoint)
        alarms = [{"AlarmName": alarm} for alarm, state in states.items() if state != "ALARM"]
        extra = {"AutoRollbackConfiguration": {"Alarms": alarms}} if alarms else {}
        options["DeploymentConfig"] = {**deployment, **extra}
    return options


def alarm_states(clients: Any, template: Any, endpoint: str) -> dict[str, str]:
    """Of those of the template's alarms that the endpoint has, by their names."""
    names = [f"{endpoint}-{alarm}" for alarm in template["rollback_alarms"]]
    found = clients("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"] if names else []
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}


def find_endpoint(sagemaker: Any, prefix: str, environment: str) -> Any:
    """The newest endpoint of the environment, described; None where there is none."""
    for summary in endpoints(sagemaker, prefix):
        tags = sagemaker.list_tags(ResourceArn=summary["EndpointArn"])["Tags"]
        if {"Key": "scones:environment", "Value": environment} in tags and summary["EndpointStatus"] not in (
            "Failed",
            "Deleting",
        ):
            return describe(sagemaker, summary)
    return None


def endpoints(sagemaker: Any, prefix: str) -> list[Any]:
    pages = sagemaker.get_paginator("list_endpoints").paginate(
        NameContains=prefix, SortBy="CreationTime", SortOrder="Descending"
    )
    found = (endpoint for page in pages for endpoint in page["Endpoints"])
    return [endpoint for endpoint in found if is_ours(endpoint["EndpointName"], prefix)]


def describe(sagemaker: Any, summary: Any) -> Any:
    return sagemaker.describe_endpoint(EndpointName=summary["EndpointName"])


def configs_of(sagemaker: Any, prefix: str, endpoint: str) -> list[str]:
    """The endpoint configs that were made for the endpoint, the newest first."""
    pages = sagemaker.get_paginator("list_endpoint_configs").paginate(
        NameContains=prefix, SortBy="CreationTime", SortOrder="Descending"
    )
    found = (config for page in pages for config in page["EndpointConfigs"])
    ours = [config for config in found if is_ours(config["EndpointConfigName"], prefix)]
    return [config["EndpointConfigName"] for config in ours if _is_for(sagemaker, config, endpoint)]


def _is_for(sagemaker: Any, config: Any, endpoint: str) -> bool:
    try:
        tags = sagemaker.list_tags(ResourceArn=config["EndpointConfigArn"])["Tags"]
    except ClientError as error:
        if is_missing(error):  # deleted meanwhile
            return False
        raise
    return {"Key": "scones:endpoint", "Value": endpoint} in tags


def newest_approved(sagemaker: Any, package: str) -> str:
    """The newest approved package of the package's group, as far as listing knows it already; or itself."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=package.split("/")[1],
        ModelApprovalStatus="Approved",
        SortBy="CreationTime",
        SortOrder="Descending",
    )
    found = (each["ModelPackageArn"] for page in pages for each in page["ModelPackageSummaryList"])
    return next(found, package)


def version_of(package: str) -> int:
    return int(package.rpartition("/")[2])


def deployed_package(sagemaker: Any, config: str) -> str | None:
    """The ARN of the package behind an endpoint config; None if that or its model is gone."""
    try:
        variant = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"][0]
        model = sagemaker.describe_model(ModelName=variant["ModelName"])
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    containers = model.get("Containers") or [model.get("PrimaryContainer", {})]
    return containers[0].get("ModelPackageName")


def remove(sagemaker: Any, name: str) -> None:
    """The endpoint config and the model of this name, where they are there."""
    for call, member in (("delete_endpoint_config", "EndpointConfigName"), ("delete_model", "ModelName")):
        try:
            getattr(sagemaker, call)(**{member: name})
        except ClientError as error:
            if not is_missing(error):
                raise


def is_missing(error: Any) -> bool:
    details = error.response["Error"]
    return details["Code"] == "ValidationException" and "could not find" in details["Message"].lower()


def is_ours(name: str, prefix: str) -> bool:
    """Whether `unique_name` made it of this very prefix: another installation's may begin with the same."""
    return bool(re.fullmatch(rf"{re.escape(prefix)}-\d{{8}}-\d{{6}}-[0-9a-f]{{4}}", name))


def unique_name(prefix: str) -> str:
    """`<prefix>-<UTC time>-<4 hexadecimal digits>`: sorts by time, and two of one second differ."""
    return f"{prefix}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"  # noqa: UP017


@lru_cache
def client(service: str) -> Any:
    return boto3.client(service, config=Config(connect_timeout=5, read_timeout=20))
