"""Stacks as they are kept: documents with their state, events, and names that become ids."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from localaws.cloudformation.errors import ValidationError
from localaws.cloudformation.intrinsics import Scope
from localaws.cloudformation.templates import Document, Template
from localaws.sagemaker.store import Store
from localaws.stack import Stack as Place

STACK = "Stack"
EVENT = "Event"
_GONE = "DELETE_COMPLETE"
STACK_TYPE = "AWS::CloudFormation::Stack"


class Stacks:
    """The stacks of one local AWS.

    A stack's document has what DescribeStacks answers and, under `_state`, its template's text, parameters,
    resources and outputs. While an operation runs, `_target` says where it goes; what is there so far is in
    `_state`, what was there before in `_before`.
    """

    def __init__(self, place: Place, store: Store) -> None:
        self.place = place
        self.store = store

    def new(self, name: str, **members: Any) -> Document:
        arn = self.place.arn(f"stack/{name}/{uuid.uuid4()}", "cloudformation")
        document = {
            "StackId": arn,
            "StackName": name,
            "CreationTime": time.time(),
            "_state": {"template": None, "parameters": {}, "resources": {}, "outputs": []},
            **members,
        }
        self.store.put(STACK, arn, document)
        return document

    def all(self, gone: bool = False) -> list[Document]:
        """The newest first; those that are gone only where asked for."""
        documents = self.store.list(STACK)[::-1]
        return [document for document in documents if gone or document["StackStatus"] != _GONE]

    def find(self, name_or_id: str) -> Document | None:
        if name_or_id.startswith("arn:"):
            return self.store.get(STACK, name_or_id)
        return next((document for document in self.all() if document["StackName"] == name_or_id), None)

    def get(self, name_or_id: str) -> Document:
        """Raises ValidationError when there is no such stack."""
        document = self.find(name_or_id)
        if document is None:
            raise ValidationError(f"Stack with id {name_or_id} does not exist")
        return document

    def update(self, stack_id: str, **members: Any) -> Document:
        return self.store.update(STACK, stack_id, lambda document: document.update(members))

    def set_status(self, stack_id: str, status: str, reason: str | None = None, **members: Any) -> Document:
        """The stack's own status, and the event that tells of it."""
        document = self.update(stack_id, StackStatus=status, StackStatusReason=reason, **members)
        self.tell(document, document["StackName"], stack_id, STACK_TYPE, status, reason)
        return document

    def tell(
        self,
        stack: Document,
        name: str,
        physical_id: str,
        kind: str,
        status: str,
        reason: str | None = None,
    ) -> None:
        """Writes down an event."""
        event_id = f"{name}-{status}-{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"
        event = {
            "EventId": event_id,
            "StackId": stack["StackId"],
            "StackName": stack["StackName"],
            "LogicalResourceId": name,
            "PhysicalResourceId": physical_id,
            "ResourceType": kind,
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "Timestamp": time.time(),
        }
        self.store.put(EVENT, f"{stack['StackId']} {event_id}", event, parent=stack["StackId"])

    def events(self, stack_id: str) -> list[Document]:
        """The newest first."""
        return self.store.list(EVENT, stack_id)[::-1]

    def scope(
        self,
        stack: Document,
        template: Template,
        parameters: dict[str, str],
        lookup: Callable[[str, str | None], Any],
    ) -> Scope:
        values = {
            "AWS::AccountId": self.place.account,
            "AWS::Partition": "aws",
            "AWS::Region": self.place.region,
            "AWS::StackId": stack["StackId"],
            "AWS::StackName": stack["StackName"],
            "AWS::URLSuffix": "amazonaws.com",
        }
        return Scope(template, values | parameters, lookup)

    def owner(self, kind: str, physical_id: str) -> Document | None:
        """The stack that a resource belongs to."""
        for stack in self.all():
            for record in stack["_state"]["resources"].values():
                if (record["type"], record["physical_id"]) == (kind, physical_id):
                    return stack
        return None
