"""Brings a stack to a template, or back: one resource after another, each written down before it is made."""

from __future__ import annotations

import logging
import secrets
import string
import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.cloudformation import changes, resource_types, templates
from localaws.cloudformation.errors import ResourceError
from localaws.cloudformation.resource_types import Context, ResourceType
from localaws.cloudformation.stacks import STACK, Stacks
from localaws.cloudformation.templates import Document, Template
from localaws.errors import AwsError

log = logging.getLogger(__name__)

_LETTERS = string.ascii_uppercase + string.digits
_EXISTS = ("AlreadyExists", "ConflictException", "EntityAlreadyExists", "AlreadyOwned", "already exists")
_FAILURES = (ResourceError, AwsError, ClientError, BotoCoreError, KeyError)


class StoppedError(Exception):
    """The server stops: what remains is taken up at its next start."""


class Deployment:
    """One operation on one stack, in a thread of its own."""

    def __init__(self, stacks: Stacks, stack_id: str, client: Any, stopping: threading.Event) -> None:
        self._stacks = stacks
        self._id = stack_id
        self._stopping = stopping
        stack = stacks.get(stack_id)
        tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags") or []}
        self._context = Context(stacks.place, stack["StackName"], tags, client)
        self._resources: dict[str, Document] = stack["_state"]["resources"]

    def apply(self) -> None:
        """To `_target`; and back to what was before if a resource fails."""
        stack = self._stacks.get(self._id)
        target, updating = stack["_target"], stack["_before"] is not None
        template = templates.parse(target["template"])
        try:
            self._make(stack, template, target["parameters"])
            scope = self._stacks.scope(stack, template, target["parameters"], self._lookup)
            outputs = outputs_of(template, scope)
        except _FAILURES as error:
            self.roll_back(_reason(error))
            return
        state = target | {"outputs": outputs, "resources": self._resources}
        if updating:
            self._stacks.set_status(self._id, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", _state=state)
            self.clean_up()
        else:
            self._finish("CREATE_COMPLETE", state)

    def clean_up(self) -> None:
        """Deletes what an update has left over. A failure here does not fail the update."""
        self._delete_left_over(self._stacks.get(self._id)["_before"])
        self._finish("UPDATE_COMPLETE", {})

    def roll_back(self, reason: str) -> None:
        """To `_before`, or to nothing where the stack was being created."""
        stack = self._stacks.get(self._id)
        before = stack["_before"]
        if before is None:
            self._stacks.set_status(self._id, "ROLLBACK_IN_PROGRESS", reason)
            failed = self._delete_all(rollback=True)
            self._finish("ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE", {}, failed)
            return
        self._stacks.set_status(self._id, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
        failed = self._restore(before)
        self._finish("UPDATE_ROLLBACK_FAILED" if failed else "UPDATE_ROLLBACK_COMPLETE", before, failed)

    def delete(self) -> None:
        failed = self._delete_all()
        self._finish("DELETE_FAILED" if failed else "DELETE_COMPLETE", {}, failed)

    def _make(self, stack: Document, template: Template, parameters: dict[str, str]) -> None:
        scope = self._stacks.scope(stack, template, parameters, self._lookup)
        wanted = [name for name in template.order if scope.exists(template.resources[name])]
        for name in wanted:
            part = template.resources[name]
            if self._stopping.is_set():
                raise StoppedError
            kind = resource_types.find(part["Type"])
            try:
                properties = scope.evaluate(part.get("Properties") or {})
                kind.check(properties)
                record = {
                    "name": name,
                    "type": part["Type"],
                    "properties": properties,
                    "deletion": part.get("DeletionPolicy", "Delete"),
                    "replacement": part.get("UpdateReplacePolicy", "Delete"),
                }
                self._bring(kind, record, stack.get("_before"))
            except _FAILURES as error:
                action = "UPDATE" if name in (stack.get("_before") or {}).get("resources", {}) else "CREATE"
                old = self._resources.get(name, {"name": name, "type": part["Type"], "physical_id": ""})
                self._tell(old, f"{action}_FAILED", _reason(error))
                raise ResourceError(
                    f"The following resource(s) failed to {action.lower()}: [{name}]. "
                ) from error
        self._resources = {name: self._resources[name] for name in wanted}
        self._save()

    def _bring(self, kind: ResourceType, wanted: Document, before: Document | None) -> None:
        """One resource to what is wanted: kept, updated, made, or made anew."""
        name = wanted["name"]
        old = ((before or {}).get("resources") or {}).get(name)
        if old and old["type"] == wanted["type"]:
            details, replacement = changes.compare(kind, old, wanted["type"], wanted["properties"])
            if not details and not self._tags_changed():
                self._keep({**old, **wanted})
                return
            if replacement == "False":
                self._tell(old, "UPDATE_IN_PROGRESS")
                self._keep(old | {"status": "UPDATE_IN_PROGRESS", "wanted": wanted["properties"]})
                kind.update(self._context, old["physical_id"], old["properties"], wanted["properties"])
                self._done(kind, old | wanted, "UPDATE_COMPLETE")
                return
        self._create(kind, wanted, old)

    def _create(self, kind: ResourceType, wanted: Document, old: Document | None) -> None:
        given = wanted["properties"].get(kind.name_property) if kind.name_property else None
        name = str(given) if given else self._made_up_name(wanted["name"], kind.name_length)
        record = wanted | {"physical_id": kind.physical_id(self._context, name), "attributes": {}}
        if old and old["physical_id"] == record["physical_id"]:
            raise ResourceError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {name} and update the stack again."
            )
        owner = self._stacks.owner(record["type"], record["physical_id"])
        if owner and owner["StackId"] != self._id:
            raise ResourceError(f"{record['physical_id']} already exists in stack {owner['StackId']}")
        progress = "UPDATE" if old else "CREATE"
        why = "Requested update requires the creation of a new physical resource; hence creating one."
        self._tell(record, f"{progress}_IN_PROGRESS", why if old else None)
        self._keep(record | {"status": "CREATE_IN_PROGRESS"})
        try:
            own_id = kind.create(self._context, record["physical_id"], wanted["properties"])
        except ClientError as error:
            if any(word in f"{error.response['Error']['Code']} {error}" for word in _EXISTS):
                self._forget(record["name"])  # somebody else's: not ours to delete
                if old:
                    self._keep(old)
            raise
        except ResourceError:
            self._forget(record["name"])
            if old:
                self._keep(old)
            raise
        self._done(kind, record | {"physical_id": own_id or record["physical_id"]}, f"{progress}_COMPLETE")

    def _done(self, kind: ResourceType, record: Document, status: str) -> None:
        record["attributes"] = kind.attributes(self._context, record["physical_id"], record["properties"])
        record.pop("wanted", None)
        self._keep(record | {"status": status})
        self._tell(record, status)

    def _delete_left_over(self, before: Document) -> None:
        kept = {(record["type"], record["physical_id"]) for record in self._resources.values()}
        for name, old in reversed(before["resources"].items()):
            if (old["type"], old["physical_id"]) in kept:
                continue
            replaced = name in self._resources
            policy = old["replacement"] if replaced else old["deletion"]
            if policy in ("Retain", "RetainExceptOnCreate"):
                self._tell(old, "DELETE_SKIPPED")
            else:
                self._delete_one(old)

    def _restore(self, before: Document) -> str | None:
        """Back to the resources of before; the reason when one does not go back."""
        failed = []
        for name, record in reversed(list(self._resources.items())):
            old = before["resources"].get(name)
            kind = resource_types.find(record["type"])
            if old and old["physical_id"] == record["physical_id"]:
                now: Document = record.get("wanted") or record["properties"]
                if now == old["properties"]:
                    continue
                self._tell(old, "UPDATE_IN_PROGRESS")
                try:
                    kind.update(self._context, old["physical_id"], now, old["properties"])
                except _FAILURES as error:
                    self._tell(old, "UPDATE_FAILED", _reason(error))
                    failed.append(name)
                else:
                    self._tell(old, "UPDATE_COMPLETE")
            elif not self._delete_one(record):
                failed.append(name)
        self._resources = dict(before["resources"])
        return _failed("update", failed)

    def _delete_all(self, *, rollback: bool = False) -> str | None:
        failed = []
        for name, record in reversed(list(self._resources.items())):
            if self._stopping.is_set():
                raise StoppedError
            kept_by = ("Retain",) if rollback else ("Retain", "RetainExceptOnCreate")
            if record["deletion"] in kept_by:
                self._tell(record, "DELETE_SKIPPED")
                self._forget(name)
            elif self._delete_one(record):
                self._forget(name)
            else:
                failed.append(name)
        return _failed("delete", failed)

    def _delete_one(self, record: Document) -> bool:
        self._tell(record, "DELETE_IN_PROGRESS")
        try:
            kind = resource_types.find(record["type"])
            kind.delete(self._context, record["physical_id"], record["properties"])
        except _FAILURES as error:
            self._tell(record, "DELETE_FAILED", _reason(error))
            return False
        self._tell(record, "DELETE_COMPLETE")
        return True

    def _lookup(self, name: str, attribute: str | None) -> Any:
        if name not in self._resources:
            raise ResourceError(f"Unresolved resource dependency {name}")
        return changes.value_of(self._resources[name], attribute)

    def _tags_changed(self) -> bool:
        stack = self._stacks.get(self._id)
        return bool(stack["_before"]) and stack["_before"].get("tags", []) != (stack.get("Tags") or [])

    def _made_up_name(self, logical_id: str, length: int) -> str:
        suffix = "".join(secrets.choice(_LETTERS) for _ in range(12))
        stem = f"{self._context.stack_name}-{logical_id}"[: length - len(suffix) - 1]
        return f"{stem}-{suffix}"

    def _keep(self, record: Document) -> None:
        self._resources.pop(record["name"], None)  # last in the order in which they were made
        self._resources[record["name"]] = record | {"time": time.time()}
        self._save()

    def _forget(self, name: str) -> None:
        self._resources.pop(name, None)
        self._save()

    def _save(self) -> None:
        def change(document: Document) -> None:
            document["_state"]["resources"] = self._resources

        self._stacks.store.update(STACK, self._id, change)

    def _tell(self, record: Document, status: str, reason: str | None = None) -> None:
        stack = self._stacks.get(self._id)
        self._stacks.tell(stack, record["name"], record["physical_id"], record["type"], status, reason)

    def _finish(self, status: str, state: Document, reason: str | None = None) -> None:
        known = {key: state[key] for key in ("template", "parameters", "outputs") if key in state}
        whole = self._stacks.get(self._id)["_state"] | known | {"resources": self._resources}
        members: Document = {"_state": whole, "_before": None, "_target": None}
        if status == "DELETE_COMPLETE":
            members["DeletionTime"] = time.time()
        self._stacks.set_status(self._id, status, reason, **members)


def outputs_of(template: Template, scope: Any) -> list[Document]:
    """As DescribeStacks answers them."""
    made = []
    for key, part in template.outputs.items():
        if not scope.exists(part):
            continue
        output = {"OutputKey": key, "OutputValue": str(scope.evaluate(part["Value"]))}
        if "Description" in part:
            output["Description"] = part["Description"]
        made.append(output)
    return made


def _failed(action: str, names: list[str]) -> str | None:
    return f"The following resource(s) failed to {action}: [{', '.join(names)}]. " if names else None


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"Property {error.args[0]} is required"
    if isinstance(error, ClientError):
        details, service = error.response["Error"], error.operation_name
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        return (
            f"{details.get('Message', details['Code'])} ({service}, Status Code: {status}, {details['Code']})"
        )
    return str(error)
