"""CloudFormation stacks through change sets: what would change is known, and shown, before anything does."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

CAPABILITIES = ["CAPABILITY_NAMED_IAM"]
# Between two looks at a stack, in seconds: at first, and at most. CloudFormation counts requests.
PAUSES = (0.05, 3.0)
# A bucket, roles and functions take a minute or two; a stack that takes this long has a resource that waits.
STACK_SECONDS = 1800
_NOTHING = ("didn't contain changes", "No updates are to be performed")
_DEAD = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS")
_DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


class StackFailedError(Exception):
    """A stack that could not be brought to its template. The message names the resource and the reason."""


class StackBusyError(Exception):
    """A stack that somebody else is changing, or that needs a person."""


@dataclass(frozen=True)
class StackPlan:
    """What a stack is to be.

    Attributes:
        template: the template's text.
        parameters: values of its parameters, those with defaults included or not.
    """

    name: str
    template: str
    parameters: dict[str, str]
    tags: dict[str, str]


@dataclass(frozen=True)
class Change:
    """A resource that a change set adds, modifies or removes.

    Attributes:
        action: Add, Modify or Remove.
        replacement: whether a modified one is made anew: True, False or Conditional; None for the others.
        details: for a modified one, `Property: before → after`, as far as they are known.
    """

    action: str
    logical_id: str
    type: str
    physical_id: str | None
    replacement: str | None
    details: tuple[str, ...]


@dataclass(frozen=True)
class ChangeSet:
    """A change set that can be executed.

    Attributes:
        creates: whether the stack is new.
    """

    stack: StackPlan
    arn: str
    stack_id: str
    changes: tuple[Change, ...]
    creates: bool


@dataclass(frozen=True)
class Event:
    """Something that happened to a resource of a stack, or to the stack itself."""

    logical_id: str
    type: str
    status: str
    reason: str | None


def find(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """DescribeStacks' answer for a stack that is there; also for one by its id that is not any more."""
    try:
        stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return dict(stacks[0]) if stacks else None


def outputs(cloudformation: Any, name: str) -> dict[str, str]:
    """A stack's outputs; none where there is no stack."""
    found = find(cloudformation, name)
    return {item["OutputKey"]: item["OutputValue"] for item in (found or {}).get("Outputs", [])}


def propose(cloudformation: Any, stack: StackPlan) -> ChangeSet | None:
    """The change set that brings the stack to its plan; None when it is there already.

    What an earlier failed creation left behind is removed first: such a stack can only be deleted.

    Raises:
        StackBusyError: it is being changed, or stuck.
        StackFailedError: CloudFormation refuses the template or its parameters.
    """
    present = find(cloudformation, stack.name)
    status = present["StackStatus"] if present else None
    if status in _DEAD and present and not present.get("Outputs"):
        delete(cloudformation, stack.name)
        present = None
    elif status and (status.endswith("_IN_PROGRESS") or status.endswith("_FAILED")):
        raise StackBusyError(
            f"the stack {stack.name} is {status}: wait until that is over, or see its events in the console"
        )
    name = f"scones-{uuid.uuid4().hex[:16]}"
    request = {
        "StackName": stack.name,
        "ChangeSetName": name,
        "ChangeSetType": "UPDATE" if present else "CREATE",
        "TemplateBody": stack.template,
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in stack.parameters.items()],
        "Capabilities": CAPABILITIES,
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
    }
    try:
        answer = cloudformation.create_change_set(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise StackFailedError(f"{stack.name}: {error.response['Error']['Message']}") from None
    described = _wait_for_change_set(cloudformation, answer["Id"])
    if described["Status"] == "FAILED":
        reason = described.get("StatusReason", "no reason given")
        cloudformation.delete_change_set(ChangeSetName=answer["Id"])
        if any(text in reason for text in _NOTHING):
            return None
        raise StackFailedError(f"{stack.name}: {reason}")
    changes = tuple(_change(item["ResourceChange"]) for item in described["Changes"])
    return ChangeSet(stack, answer["Id"], answer["StackId"], changes, present is None)


def discard(cloudformation: Any, change_set: ChangeSet) -> None:
    """Leaves everything as it was: the change set goes, and the empty stack that a new one came with."""
    cloudformation.delete_change_set(ChangeSetName=change_set.arn)
    if change_set.creates:
        delete(cloudformation, change_set.stack_id)


def execute(cloudformation: Any, change_set: ChangeSet) -> Iterator[Event]:
    """Executes the change set; yields what happens as it happens.

    Raises:
        StackFailedError: it was rolled back.
    """
    seen = _event_ids(cloudformation, change_set.stack_id)
    cloudformation.execute_change_set(ChangeSetName=change_set.arn)
    failure: Event | None = None
    for event in _follow(cloudformation, change_set.stack_id, seen):
        if failure is None and event.status.endswith("_FAILED") and not _is_echo(event):
            failure = event
        yield event
    status = _status(cloudformation, change_set.stack_id)
    if status not in _DONE:
        raise StackFailedError(_sentence(change_set.stack.name, status, failure))


def delete(cloudformation: Any, name: str) -> list[Event]:
    """Deletes a stack and waits until it is gone; returns what happened. Nothing to do where there is none.

    Raises:
        StackFailedError: a resource stays.
    """
    present = find(cloudformation, name)
    if present is None:
        return []
    seen = _event_ids(cloudformation, present["StackId"])
    cloudformation.delete_stack(StackName=present["StackId"])
    events = list(_follow(cloudformation, present["StackId"], seen))
    status = _status(cloudformation, present["StackId"])
    if status != "DELETE_COMPLETE":
        failure = next((e for e in events if e.status.endswith("_FAILED") and not _is_echo(e)), None)
        raise StackFailedError(_sentence(present["StackName"], status, failure))
    return events


def resources(cloudformation: Any, name: str) -> list[dict[str, Any]]:
    """A stack's resources as ListStackResources answers them; none where there is no stack."""
    if find(cloudformation, name) is None:
        return []
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    return [resource for page in pages for resource in page["StackResourceSummaries"]]


def _wait_for_change_set(cloudformation: Any, arn: str) -> dict[str, Any]:
    """The change set once it is computed, with all pages of its changes."""
    for _ in _looks():
        described = cloudformation.describe_change_set(ChangeSetName=arn, IncludePropertyValues=True)
        if described["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            break
    else:
        raise StackBusyError(f"CloudFormation did not finish the change set {arn} in {STACK_SECONDS} s")
    changes, token = list(described.get("Changes", [])), described.get("NextToken")
    while token:
        page = cloudformation.describe_change_set(
            ChangeSetName=arn, NextToken=token, IncludePropertyValues=True
        )
        changes, token = changes + page.get("Changes", []), page.get("NextToken")
    return {**described, "Changes": changes}


def _follow(cloudformation: Any, stack_id: str, seen: set[str]) -> Iterator[Event]:
    """The stack's new events, oldest first, until nothing is in progress any more."""
    for _ in _looks():
        status = _status(cloudformation, stack_id)  # before its events: at the end they are all there
        for event in reversed(_events(cloudformation, stack_id, seen)):
            seen.add(event["EventId"])
            yield Event(
                event["LogicalResourceId"],
                event["ResourceType"],
                event["ResourceStatus"],
                event.get("ResourceStatusReason"),
            )
        if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
            return
    raise StackBusyError(f"the stack {stack_id} is still in progress after {STACK_SECONDS} s")


def _looks() -> Iterator[None]:
    """Paces looks at something that changes, for as long as a stack may take."""
    deadline = time.monotonic() + STACK_SECONDS
    pause, longest = PAUSES
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)
        pause = min(pause * 1.3, longest)


def _status(cloudformation: Any, stack_id: str) -> str:
    found = find(cloudformation, stack_id)
    return found["StackStatus"] if found else "DELETE_COMPLETE"


def _event_ids(cloudformation: Any, stack_id: str) -> set[str]:
    return {event["EventId"] for event in _events(cloudformation, stack_id, set())}


def _events(cloudformation: Any, stack_id: str, seen: set[str]) -> list[dict[str, Any]]:
    """Events that were not seen yet, the newest first: pages are read as far as there are new ones."""
    found: list[dict[str, Any]] = []
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    for page in pages:
        new = [event for event in page["StackEvents"] if event["EventId"] not in seen]
        found += new
        if len(new) < len(page["StackEvents"]):
            break
    return found


def _change(change: dict[str, Any]) -> Change:
    details = []
    for detail in change.get("Details", []):
        target = detail["Target"]
        if target.get("Attribute") != "Properties":
            details.append(str(target.get("Attribute")))
            continue
        before, after = target.get("BeforeValue"), target.get("AfterValue")
        known = before is not None or after is not None
        details.append(f"{target['Name']}: {before} → {after}" if known else target["Name"])
    return Change(
        action=change["Action"],
        logical_id=change["LogicalResourceId"],
        type=change["ResourceType"],
        physical_id=change.get("PhysicalResourceId"),
        replacement=change.get("Replacement"),
        details=tuple(dict.fromkeys(details)),
    )


def _is_echo(event: Event) -> bool:
    """Whether the event only says that another resource failed."""
    return (event.reason or "").startswith(("Resource creation cancelled", "Resource update cancelled")) or (
        event.type == "AWS::CloudFormation::Stack"
    )


def _sentence(name: str, status: str, failure: Event | None) -> str:
    ends = {
        "ROLLBACK_COMPLETE": "; what was made has been removed again",
        "UPDATE_ROLLBACK_COMPLETE": "; everything is as it was before",
    }
    end = ends.get(status, f"; the stack is {status}")
    if failure is None:
        return f"{name} failed and gave no reason{end}"
    reason = (failure.reason or "no reason given").strip().rstrip(".")
    return f"{name}: {failure.logical_id} ({failure.type}) failed: {reason}{end}"


def callback(events: Iterator[Event], on_event: Callable[[Event], None] | None) -> None:
    """Runs through events, telling somebody of each."""
    for event in events:
        if on_event:
            on_event(event)
