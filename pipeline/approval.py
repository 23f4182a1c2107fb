"""Deployment on approval: the stack of `workflows/deployment.yaml`, with the environment's template in it."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

from pipeline import deployment
from workflows.package import function_zip

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings


class ApprovalStackError(Exception):
    """The stack was not made."""


def stack_name(settings: Settings) -> str:
    return f"{settings.endpoint_name_prefix}-deployment"


def deploy(clients: Clients, settings: Settings) -> dict[str, str]:
    """Creates or updates the stack; returns its outputs.

    Raises:
        ApprovalStackError: with the reason of the resource that failed.
    """
    cloudformation, name = clients("cloudformation"), stack_name(settings)
    request = {
        "StackName": name,
        "TemplateBody": files("workflows").joinpath("deployment.yaml").read_text(encoding="utf-8"),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in _parameters(clients("s3"), settings).items()
        ],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }
    try:
        if _exists(cloudformation, name):
            cloudformation.update_stack(**request)
            waiter = "stack_update_complete"
        else:
            cloudformation.create_stack(**request)
            waiter = "stack_create_complete"
        delay = {"Delay": 1 if settings.target == "local" else 5, "MaxAttempts": 120}
        cloudformation.get_waiter(waiter).wait(StackName=name, WaiterConfig=delay)
    except ClientError as error:
        if "No updates are to be performed" not in error.response["Error"]["Message"]:
            raise
    except WaiterError:
        raise ApprovalStackError(f"the stack {name} failed: {_reason(cloudformation, name)}") from None
    stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def remove(clients: Clients, settings: Settings) -> str:
    """Deletes the stack, and no endpoint; returns its name."""
    name = stack_name(settings)
    clients("cloudformation").delete_stack(StackName=name)
    return name


def _parameters(s3: Any, settings: Settings) -> dict[str, str]:
    content = function_zip("deployer")
    key = f"{settings.prefix}/workflows/{hashlib.sha256(content).hexdigest()}/deployer.zip"
    s3.put_object(Bucket=settings.bucket, Key=key, Body=content)
    return {
        "NamePrefix": settings.endpoint_name_prefix,
        "EndpointArnPrefix": settings.endpoint_name_prefix.lower(),
        "ModelPackageGroup": settings.model_package_group,
        "ExecutionRoleArn": settings.role("model"),
        "CodeBucket": settings.bucket,
        "CodeKey": key,
        "Template": json.dumps(deployment.template(settings), separators=(",", ":")),
    }


def _exists(cloudformation: Any, name: str) -> bool:
    try:
        cloudformation.describe_stacks(StackName=name)
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return False
        raise
    return True


def _reason(cloudformation: Any, name: str) -> str:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
    first = failed[-1] if failed else {}
    return f"{first.get('LogicalResourceId', name)}: {first.get('ResourceStatusReason', 'no reason given')}"
