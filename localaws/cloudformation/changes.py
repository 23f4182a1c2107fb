"""What a template would change in a stack: a change set's changes, before anything is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from localaws.cloudformation import resource_types
from localaws.cloudformation.errors import ValidationError
from localaws.cloudformation.intrinsics import KNOWN_LATER, Scope
from localaws.cloudformation.templates import Document, Template

ScopeFactory = Callable[[Callable[[str, str | None], Any]], Scope]


def plan(template: Template, before: Mapping[str, Document], scope_of: ScopeFactory) -> list[Document]:
    """The changes as DescribeChangeSet answers them.

    Args:
        before: the stack's resources by logical id: `type`, `physical_id`, `properties`, `attributes`.
        scope_of: makes a scope from a function that looks resources up.

    Raises:
        ValidationError: the template refers to something that is not there.
    """
    made_anew: set[str] = set()

    def lookup(name: str, attribute: str | None) -> Any:
        record = before.get(name)
        if record is None or name in made_anew:
            return KNOWN_LATER
        return value_of(record, attribute)

    scope = scope_of(lookup)
    changes = []
    kept = set()
    for name in template.order:
        part = template.resources[name]
        if not scope.exists(part):
            continue
        kept.add(name)
        properties = scope.evaluate(part.get("Properties") or {})
        old = before.get(name)
        if old is None:
            made_anew.add(name)
            changes.append(_change("Add", name, part["Type"]))
        elif old["type"] != part["Type"] or old["properties"] != properties:
            modification = _modification(name, old, part["Type"], properties)
            if modification["ResourceChange"]["Replacement"] == "True":
                made_anew.add(name)
            changes.append(modification)
    changes += [
        _change("Remove", name, record["type"], PhysicalResourceId=record["physical_id"])
        for name, record in before.items()
        if name not in kept
    ]
    return changes


def _modification(name: str, old: Document, new_type: str, properties: Document) -> Document:
    kind = resource_types.find(new_type)
    details, replacement = compare(kind, old, new_type, properties)
    return _change(
        "Modify",
        name,
        new_type,
        PhysicalResourceId=old["physical_id"],
        Replacement=replacement,
        Scope=["Properties"],
        Details=details,
    )


def value_of(record: Document, attribute: str | None) -> Any:
    """What `Ref`, or `Fn::GetAtt` with an attribute, gives for a resource that is there."""
    if attribute is None:
        return record["physical_id"]
    if attribute not in record["attributes"]:
        raise ValidationError(
            f"Template error: resource {record['name']} does not support attribute type {attribute} in "
            "Fn::GetAtt"
        )
    return record["attributes"][attribute]


def compare(
    kind: resource_types.ResourceType, old: Document, new_type: str, new: Document
) -> tuple[list[Document], str]:
    """Which properties differ, and whether that needs a new resource: True, Conditional or False."""
    if old["type"] != new_type:
        return [], "True"
    details, replacement = [], "False"
    for name in sorted({*old["properties"], *new}):
        if old["properties"].get(name) == new.get(name):
            continue
        later = KNOWN_LATER in json.dumps(new.get(name))
        recreation = "Never"
        if name in kind.replaced_by:
            recreation = "Conditionally" if later else "Always"
            replacement = "Conditional" if later and replacement == "False" else "True"
        target = {
            "Attribute": "Properties",
            "Name": name,
            "Path": f"/Properties/{name}",
            "RequiresRecreation": recreation,
        }
        for member, properties in (("BeforeValue", old["properties"]), ("AfterValue", new)):
            if name in properties:
                value = properties[name]
                target[member] = value if isinstance(value, str) else json.dumps(value)
        details.append(
            {
                "Target": target,
                "Evaluation": "Dynamic" if later else "Static",
                "ChangeSource": "DirectModification",
            }
        )
    return details, replacement


def _change(action: str, name: str, kind: str, **more: Any) -> Document:
    change = {"Action": action, "LogicalResourceId": name, "ResourceType": kind, **more}
    return {"Type": "Resource", "ResourceChange": change}
