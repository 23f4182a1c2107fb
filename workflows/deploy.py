"""Deploys the inference workflow: roles, functions, log groups, state machine. Again: changes nothing."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from workflows import ClientFactory
from workflows.package import function_zip
from workflows.plan import FunctionPlan, WorkflowPlan
from workflows.roles import ensure_function_role, ensure_state_machine_role

RUNTIME = "python3.13"
HANDLER = "handler.lambda_handler"
LOG_RETENTION_DAYS = 30
# IAM is eventually consistent: Lambda may refuse a role for some seconds after it was made.
ROLE_SECONDS = 60
ROLE_PAUSE_SECONDS = 2


@dataclass(frozen=True)
class Deployment:
    """What stands after a deployment.

    Attributes:
        function_arns: by the function's name.
        changes: the names of what was created or updated; empty when all was as planned already.
    """

    state_machine_arn: str
    function_arns: dict[str, str]
    changes: tuple[str, ...]


def deploy(client: ClientFactory, plan: WorkflowPlan) -> Deployment:
    """Creates or updates what differs from the plan. Raises botocore's ClientError when AWS refuses."""
    iam, functions, logs = client("iam"), client("lambda"), client("logs")
    changes: list[str] = []
    arns: dict[str, str] = {}
    for function in plan.functions:
        role, changed = ensure_function_role(iam, plan, function)
        changed |= _ensure_log_group(logs, f"/aws/lambda/{function.name}")
        arns[function.name], function_changed = _ensure_function(functions, function, role)
        if changed or function_changed:
            changes.append(function.name)
    role, changed = ensure_state_machine_role(iam, plan)
    changed |= _ensure_state_machine(client("stepfunctions"), plan, role, definition(plan, arns))
    if changed:
        changes.append(plan.state_machine_name)
    return Deployment(plan.state_machine_arn, arns, tuple(changes))


def definition(plan: WorkflowPlan, function_arns: dict[str, str]) -> str:
    """The state machine's definition with the functions' ARNs in it, as CloudFormation substitutes them."""
    template = files("workflows").joinpath("inference.asl.json").read_text(encoding="utf-8")
    substitutions = {function.substitution: function_arns[function.name] for function in plan.functions}
    # Only `${Name}` is a placeholder: `$.path` and `$$.Execution` are ASL's own.
    for name, arn in substitutions.items():
        template = template.replace(f"${{{name}}}", arn)
    return template


def _ensure_function(client: Any, function: FunctionPlan, role: str) -> tuple[str, bool]:
    package = function_zip(function.folder)
    settings = {
        "Role": role,
        "Runtime": RUNTIME,
        "Handler": HANDLER,
        "Timeout": function.timeout,
        "MemorySize": function.memory,
        "Environment": {"Variables": function.environment},
    }
    try:
        present = client.get_function_configuration(FunctionName=function.name)
    except client.exceptions.ResourceNotFoundException:
        return _create_function(client, function.name, package, settings), True
    changed = False
    if present["CodeSha256"] != base64.b64encode(hashlib.sha256(package).digest()).decode():
        client.update_function_code(FunctionName=function.name, ZipFile=package)
        client.get_waiter("function_updated_v2").wait(FunctionName=function.name)
        changed = True
    if any(present.get(name) != value for name, value in settings.items()):
        client.update_function_configuration(FunctionName=function.name, **settings)
        client.get_waiter("function_updated_v2").wait(FunctionName=function.name)
        changed = True
    return present["FunctionArn"], changed


def _create_function(client: Any, name: str, package: bytes, settings: dict[str, Any]) -> str:
    deadline = time.monotonic() + ROLE_SECONDS
    while True:
        try:
            arn: str = client.create_function(FunctionName=name, Code={"ZipFile": package}, **settings)[
                "FunctionArn"
            ]
            break
        except client.exceptions.InvalidParameterValueException as error:
            if "cannot be assumed" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(ROLE_PAUSE_SECONDS)
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    return arn


def _ensure_log_group(client: Any, name: str) -> bool:
    """Made here, so that the function needs no right to make one, and its lines do not stay for ever."""
    found = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    present = next((group for group in found if group["logGroupName"] == name), None)
    if present is None:
        client.create_log_group(logGroupName=name)
    elif present.get("retentionInDays") == LOG_RETENTION_DAYS:
        return False
    client.put_retention_policy(logGroupName=name, retentionInDays=LOG_RETENTION_DAYS)
    return True


def _ensure_state_machine(client: Any, plan: WorkflowPlan, role: str, wanted: str) -> bool:
    try:
        present = client.describe_state_machine(stateMachineArn=plan.state_machine_arn)
    except client.exceptions.StateMachineDoesNotExist:
        client.create_state_machine(name=plan.state_machine_name, definition=wanted, roleArn=role)
        return True
    if (present["definition"], present["roleArn"]) == (wanted, role):
        return False
    client.update_state_machine(stateMachineArn=plan.state_machine_arn, definition=wanted, roleArn=role)
    return True
