"""CloudFormation's operations: requests checked and answered; what takes long goes on in a thread."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from localaws.cloudformation import changes, templates
from localaws.cloudformation.deployment import Deployment, outputs_of
from localaws.cloudformation.errors import (
    AlreadyExistsError,
    ChangeSetNotFoundError,
    ValidationError,
)
from localaws.cloudformation.requests import require_capabilities, template_and_values
from localaws.cloudformation.templates import Document, Template
from localaws.errors import AwsError

if TYPE_CHECKING:
    from localaws.cloudformation.service import CloudFormationService

CHANGE_SET = "ChangeSet"
_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")
_NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
_UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


def create_change_set(service: CloudFormationService, request: Document) -> Document:
    name, kind = request["StackName"], request.get("ChangeSetType", "UPDATE")
    if not _NAME.fullmatch(request["ChangeSetName"]):
        raise ValidationError(f"ChangeSetName {request['ChangeSetName']!r} must match {_NAME.pattern}")
    stack = service.stacks.find(name)
    if kind == "CREATE":
        if stack and stack["StackStatus"] != "REVIEW_IN_PROGRESS":
            raise AlreadyExistsError(f"Stack [{name}] already exists and cannot be created again.")
    elif stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        raise ValidationError(f"Stack [{name}] does not exist")
    else:
        _require_updatable(stack)
    template, values = template_and_values(request)
    require_capabilities(template, request)
    if stack is None:
        stack = _new_stack(service, request, template, "REVIEW_IN_PROGRESS")
    elif _change_set(service, request["ChangeSetName"], name, missing_ok=True):
        raise AlreadyExistsError(f"ChangeSet {request['ChangeSetName']} already exists")
    document = _plan(service, request, stack, template, values)
    service.store.put(CHANGE_SET, document["ChangeSetId"], document, parent=stack["StackId"])
    return {"Id": document["ChangeSetId"], "StackId": stack["StackId"]}


def _plan(
    service: CloudFormationService,
    request: Document,
    stack: Document,
    template: Template,
    values: dict[str, str],
) -> Document:
    before = stack["_state"]

    def scope_of(lookup: Any) -> Any:
        return service.stacks.scope(stack, template, values, lookup)

    planned = changes.plan(template, before["resources"], scope_of)
    changed = bool(planned) or _outputs_changed(template, before, scope_of)
    tags = request.get("Tags")
    changed = changed or (tags is not None and tags != (stack.get("Tags") or []))
    name = request["ChangeSetName"]
    return {
        "ChangeSetId": service.stack.arn(f"changeSet/{name}/{uuid.uuid4()}", "cloudformation"),
        "ChangeSetName": name,
        "StackId": stack["StackId"],
        "StackName": stack["StackName"],
        "Description": request.get("Description"),
        "CreationTime": time.time(),
        "Status": "CREATE_COMPLETE" if changed else "FAILED",
        "StatusReason": None if changed else _NO_CHANGES,
        "ExecutionStatus": "AVAILABLE" if changed else "UNAVAILABLE",
        "Parameters": _pairs(values),
        "Capabilities": request.get("Capabilities", []),
        "Tags": tags if tags is not None else stack.get("Tags") or [],
        "Changes": planned,
        "_template": template.text,
        "_parameters": values,
    }


def _outputs_changed(template: Template, before: Document, scope_of: Any) -> bool:
    def lookup(name: str, attribute: str | None) -> Any:
        return changes.value_of(before["resources"][name], attribute)

    try:
        return outputs_of(template, scope_of(lookup)) != before["outputs"]
    except KeyError:  # an output of a resource that is not there yet
        return True


def describe_change_set(service: CloudFormationService, request: Document) -> Document:
    found = _change_set(service, request["ChangeSetName"], request.get("StackName"))
    if request.get("IncludePropertyValues"):
        return found
    for change in found["Changes"]:
        for detail in change["ResourceChange"].get("Details", []):
            for member in ("BeforeValue", "AfterValue"):
                detail["Target"].pop(member, None)
    return found


def execute_change_set(service: CloudFormationService, request: Document) -> Document:
    found = _change_set(service, request["ChangeSetName"], request.get("StackName"))
    if found["ExecutionStatus"] != "AVAILABLE":
        raise AwsError(
            "InvalidChangeSetStatus",
            f"ChangeSet [{found['ChangeSetId']}] cannot be executed in its current status of "
            f"[{found['Status']}]",
        )
    stack = service.stacks.get(found["StackId"])
    for other in service.store.list(CHANGE_SET, found["StackId"]):
        service.store.delete(CHANGE_SET, other["ChangeSetId"])  # they were computed against another state
    service.store.put(
        CHANGE_SET, found["ChangeSetId"], found | {"ExecutionStatus": "EXECUTE_COMPLETE"}, found["StackId"]
    )
    _deploy(service, stack, found)
    return {}


def delete_change_set(service: CloudFormationService, request: Document) -> Document:
    found = _change_set(service, request["ChangeSetName"], request.get("StackName"))
    service.store.delete(CHANGE_SET, found["ChangeSetId"])
    return {}


def list_change_sets(service: CloudFormationService, request: Document) -> Document:
    stack = service.stacks.get(request["StackName"])
    return {"Summaries": service.store.list(CHANGE_SET, stack["StackId"])}


def create_stack(service: CloudFormationService, request: Document) -> Document:
    if service.stacks.find(request["StackName"]):
        raise AlreadyExistsError(f"Stack [{request['StackName']}] already exists")
    template, values = template_and_values(request)
    require_capabilities(template, request)
    stack = _new_stack(service, request, template, "CREATE_IN_PROGRESS")
    wanted = {"_template": template.text, "_parameters": values, "Tags": request.get("Tags", [])}
    _deploy(service, stack, wanted)
    return {"StackId": stack["StackId"]}


def delete_stack(service: CloudFormationService, request: Document) -> Document:
    stack = service.stacks.find(request["StackName"])
    if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
        return {}
    _require_idle(stack)
    service.stacks.set_status(stack["StackId"], "DELETE_IN_PROGRESS", "User Initiated")
    service.run(stack["StackId"], Deployment.delete)
    return {}


def describe_stacks(service: CloudFormationService, request: Document) -> Document:
    name = request.get("StackName")
    found = [service.stacks.get(name)] if name else service.stacks.all()
    return {"Stacks": [_described(stack) for stack in found]}


def list_stacks(service: CloudFormationService, request: Document) -> Document:
    wanted = request.get("StackStatusFilter")
    found = [s for s in service.stacks.all(gone=True) if not wanted or s["StackStatus"] in wanted]
    return {"StackSummaries": [_described(stack) for stack in found]}


def describe_stack_events(service: CloudFormationService, request: Document) -> Document:
    stack = service.stacks.get(request["StackName"])
    return {"StackEvents": service.stacks.events(stack["StackId"])}


def describe_stack_resources(service: CloudFormationService, request: Document) -> Document:
    stack = service.stacks.get(request["StackName"])
    wanted = request.get("LogicalResourceId")
    return {"StackResources": [r for r in _resources(stack) if wanted in (None, r["LogicalResourceId"])]}


def list_stack_resources(service: CloudFormationService, request: Document) -> Document:
    stack = service.stacks.get(request["StackName"])
    return {
        "StackResourceSummaries": [r | {"LastUpdatedTimestamp": r["Timestamp"]} for r in _resources(stack)]
    }


def _deploy(service: CloudFormationService, stack: Document, wanted: Document) -> None:
    updating = stack["_state"]["template"] is not None
    before = stack["_state"] | {"tags": stack.get("Tags") or []} if updating else None
    members: Document = {
        "Description": templates.parse(wanted["_template"]).description,
        "Tags": wanted["Tags"],
        "_target": {"template": wanted["_template"], "parameters": wanted["_parameters"]},
        "_before": before,
    }
    if updating:
        members["LastUpdatedTime"] = time.time()
    status = "UPDATE_IN_PROGRESS" if updating else "CREATE_IN_PROGRESS"
    service.stacks.set_status(stack["StackId"], status, "User Initiated", **members)
    service.run(stack["StackId"], Deployment.apply)


def _new_stack(
    service: CloudFormationService, request: Document, template: Template, status: str
) -> Document:
    if not _NAME.fullmatch(request["StackName"]) or len(request["StackName"]) > 128:
        raise ValidationError(f"StackName {request['StackName']!r} must match {_NAME.pattern}")
    return service.stacks.new(
        request["StackName"],
        StackStatus=status,
        Description=template.description,
        Tags=request.get("Tags", []),
        Capabilities=request.get("Capabilities", []),
        EnableTerminationProtection=False,
        DisableRollback=False,
    )


def _require_updatable(stack: Document) -> None:
    if stack["StackStatus"] not in _UPDATABLE:
        raise ValidationError(
            f"Stack:{stack['StackId']} is in {stack['StackStatus']} state and can not be updated."
        )


def _require_idle(stack: Document) -> None:
    if stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] != "REVIEW_IN_PROGRESS":
        raise ValidationError(f"Stack [{stack['StackId']}] is in {stack['StackStatus']} state")


def _change_set(
    service: CloudFormationService, name: str, stack_name: str | None, missing_ok: bool = False
) -> Document:
    if name.startswith("arn:"):
        found = service.store.get(CHANGE_SET, name)
    else:
        stack = service.stacks.get(stack_name or "")
        candidates = service.store.list(CHANGE_SET, stack["StackId"])
        found = next((item for item in candidates if item["ChangeSetName"] == name), None)
    if found is None and not missing_ok:
        raise ChangeSetNotFoundError(name)
    return found or {}


def _described(stack: Document) -> Document:
    return stack | {
        "Parameters": _pairs(stack["_state"]["parameters"]),
        "Outputs": stack["_state"]["outputs"],
        "TemplateDescription": stack.get("Description"),
    }


def _resources(stack: Document) -> list[Document]:
    return [
        {
            "StackId": stack["StackId"],
            "StackName": stack["StackName"],
            "LogicalResourceId": record["name"],
            "PhysicalResourceId": record["physical_id"],
            "ResourceType": record["type"],
            "ResourceStatus": record["status"],
            "Timestamp": record["time"],
        }
        for record in stack["_state"]["resources"].values()
    ]


def _pairs(values: dict[str, str]) -> list[Document]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


OPERATIONS = {
    "CreateChangeSet": create_change_set,
    "CreateStack": create_stack,
    "DeleteChangeSet": delete_change_set,
    "DeleteStack": delete_stack,
    "DescribeChangeSet": describe_change_set,
    "DescribeStackEvents": describe_stack_events,
    "DescribeStackResources": describe_stack_resources,
    "DescribeStacks": describe_stacks,
    "ExecuteChangeSet": execute_change_set,
    "ListChangeSets": list_change_sets,
    "ListStackResources": list_stack_resources,
    "ListStacks": list_stacks,
}
