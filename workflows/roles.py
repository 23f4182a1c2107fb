"""The roles of the inference workflow: what each may do, and nothing else.

Each is called as what it is for: a role's name may have no more characters than a function's.
"""

from __future__ import annotations

import json
from typing import Any

from workflows.plan import FunctionPlan, WorkflowPlan

POLICY_NAME = "workflow"
Document = dict[str, Any]


def ensure_function_role(iam: Any, plan: WorkflowPlan, function: FunctionPlan) -> tuple[str, bool]:
    """The function's role as planned. Returns its ARN, and whether anything had to be changed."""
    return _ensure(iam, function.name, trust(plan, "lambda"), function_policy(plan, function))


def ensure_state_machine_role(iam: Any, plan: WorkflowPlan) -> tuple[str, bool]:
    """The state machine's role as planned. Returns its ARN, and whether anything had to be changed."""
    return _ensure(iam, plan.state_machine_name, trust(plan, "states"), state_machine_policy(plan))


def trust(plan: WorkflowPlan, service: str) -> Document:
    """Who may take the role on: the service, and on behalf of this account only where it says for whom."""
    statement: Document = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    if service == "states":  # Lambda does not send the account when it assumes a role
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": plan.account}}
    return _document(statement)


def function_policy(plan: WorkflowPlan, function: FunctionPlan) -> Document:
    """Its own log group, and what its handler calls."""
    group = plan.arn("logs", f"log-group:/aws/lambda/{function.name}:*")
    statements = [_allow("WriteItsLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], group)]
    if function.folder in ("serializer", "classifier"):
        bucket = f"arn:{plan.partition}:s3:::{plan.bucket}"
        statements += [
            _allow("ReadImages", ["s3:GetObject"], f"{bucket}/{plan.images_prefix}*"),
            # Without it S3 answers "access denied" for an object that does not exist. No condition on a
            # prefix: a GetObject carries none.
            _allow("TellMissingFromForbidden", ["s3:ListBucket"], bucket),
        ]
    if function.folder == "classifier":
        endpoint = plan.arn("sagemaker", f"endpoint/{plan.endpoint_name.lower()}")  # ARNs are lower case
        statements.append(_allow("AskTheEndpoint", ["sagemaker:InvokeEndpoint"], endpoint))
    return _document(*statements)


def state_machine_policy(plan: WorkflowPlan) -> Document:
    """Its three functions."""
    arns = [plan.function_arn(function) for function in plan.functions]
    return _document(_allow("InvokeTheFunctions", ["lambda:InvokeFunction"], arns))


def _ensure(iam: Any, name: str, trust_policy: Document, policy: Document) -> tuple[str, bool]:
    changed = False
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust_policy))["Role"]
        changed = True
    else:
        if role["AssumeRolePolicyDocument"] != trust_policy:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust_policy))
            changed = True
    if _present_policy(iam, name) != policy:
        iam.put_role_policy(RoleName=name, PolicyName=POLICY_NAME, PolicyDocument=json.dumps(policy))
        changed = True
    return role["Arn"], changed


def _present_policy(iam: Any, role: str) -> Document | None:
    try:
        document: Document = iam.get_role_policy(RoleName=role, PolicyName=POLICY_NAME)["PolicyDocument"]
    except iam.exceptions.NoSuchEntityException:
        return None
    return document


def _allow(sid: str, actions: list[str], resource: str | list[str]) -> Document:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}


def _document(*statements: Document) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}
