"""Intrinsic functions: a part of a template becomes the value that it stands for.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from localaws.cloudformation.errors import ValidationError
from localaws.cloudformation.templates import Template

# What CloudFormation itself writes where a value is known only once the change set was executed.
KNOWN_LATER = "{{changeSet:KNOWN_AFTER_APPLY}}"
_VARIABLE = re.compile(r"\$\{(!?)\s*([^}]+?)\s*\}")
_DYNAMIC = re.compile(r"\{\{resolve:")
_NO_VALUE = object()
_SELECT = "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"


class Scope:
    """What the names in a template stand for.

    Args:
        values: of parameters and pseudo parameters.
        resource: by logical id and attribute (None for `Ref`), a resource's value.
    """

    def __init__(
        self,
        template: Template,
        values: Mapping[str, str],
        resource: Callable[[str, str | None], Any],
    ) -> None:
        self._template = template
        self._values = values
        self._resource = resource
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self.condition,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::If": lambda node: self._evaluate(node[1 if self.condition(node[0]) else 2]),
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": self._base64,
            "Fn::Equals": lambda node: str(self.evaluate(node[0])) == str(self.evaluate(node[1])),
            "Fn::Not": lambda node: not self.evaluate(node[0]),
            "Fn::And": lambda node: all(self._truths("Fn::And", node)),
            "Fn::Or": lambda node: any(self._truths("Fn::Or", node)),
        }

    def evaluate(self, node: Any) -> Any:
        """The value of a part of the template. `AWS::NoValue` leaves its key or item out."""
        value = self._evaluate(node)
        return None if value is _NO_VALUE else value

    def condition(self, name: str) -> bool:
        if name not in self._template.conditions:
            raise ValidationError(
                f"Template format error: Unresolved condition dependency {name} in the template"
            )
        return bool(self.evaluate(self._template.conditions[name]))

    def exists(self, part: Mapping[str, Any]) -> bool:
        """Whether a resource or an output with this definition is wanted."""
        return "Condition" not in part or self.condition(part["Condition"])

    def _evaluate(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for value in map(self._evaluate, node) if value is not _NO_VALUE]
        if isinstance(node, str) and _DYNAMIC.search(node):
            raise ValidationError(f"The local AWS does not have dynamic references such as {node}")
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((key, argument),) = node.items()
            # A policy's "Condition" is an object; a condition that is referred to is a name.
            if key in self._functions and not (key == "Condition" and not isinstance(argument, str)):
                return self._functions[key](argument)
            if key.startswith("Fn::"):
                raise ValidationError(f"The local AWS does not have {key} in templates")
        values = ((key, self._evaluate(value)) for key, value in node.items())
        return {key: value for key, value in values if value is not _NO_VALUE}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self._values:
            spec = self._template.parameters.get(name, {})
            value = self._values[name]
            if spec.get("Type") == "CommaDelimitedList" or str(spec.get("Type", "")).startswith("List<"):
                return [item.strip() for item in value.split(",")] if value else []
            return value
        return self._resource(name, None)

    def _get_att(self, node: Any) -> Any:
        name, attribute = node.split(".", 1) if isinstance(node, str) else (node[0], ".".join(node[1:]))
        return self._resource(name, self.evaluate(attribute))

    def _sub(self, node: Any) -> str:
        text, own = (node, {}) if isinstance(node, str) else (node[0], self.evaluate(node[1]))

        def value(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in own:
                return str(own[name])
            return str(self._get_att(name) if "." in name else self._ref(name))

        return _VARIABLE.sub(value, text)

    def _join(self, node: Any) -> str:
        items = self.evaluate(node[1])
        return KNOWN_LATER if items == KNOWN_LATER else str(node[0].join(map(str, items)))

    def _select(self, node: Any) -> Any:
        if not _is_list(node, 2):
            raise ValidationError(_SELECT)
        index, items = self.evaluate(node[0]), self.evaluate(node[1])
        if items == KNOWN_LATER:
            return KNOWN_LATER
        if not isinstance(items, list) or not re.fullmatch("[0-9]+", str(index)):
            raise ValidationError(_SELECT)
        if int(index) >= len(items):
            raise ValidationError(
                f"Template error: Fn::Select cannot select nonexistent value at index {index}"
            )
        return items[int(index)]

    def _split(self, node: Any) -> Any:
        """The parts; KNOWN_LATER where even their number is."""
        text = self.evaluate(node[1]) if _is_list(node, 2) else None
        if not isinstance(text, str) or not isinstance(node[0], str) or not node[0]:
            raise ValidationError(
                "Template error: every Fn::Split object requires two parameters, (1) a string delimiter and "
                "(2) a string to be split or a function that returns a string to be split."
            )
        return KNOWN_LATER if KNOWN_LATER in text else text.split(node[0])

    def _base64(self, node: Any) -> str:
        text = self.evaluate(node)
        if not isinstance(text, str):
            raise ValidationError("Template error: every Fn::Base64 object must have a String-typed value.")
        return KNOWN_LATER if KNOWN_LATER in text else base64.b64encode(text.encode()).decode()

    def _truths(self, name: str, node: Any) -> list[bool]:
        truths = self.evaluate(node) if isinstance(node, list) else []
        if not 2 <= len(truths) <= 10 or not all(isinstance(truth, bool) for truth in truths):
            raise ValidationError(
                f"Template error: every {name} object requires a list of at least 2 and at most 10 boolean "
                "parameters."
            )
        return list(truths)

    def _find_in_map(self, node: Any) -> Any:
        names = self.evaluate(node) if _is_list(node, 3) else []
        if not _is_list(names, 3) or not all(isinstance(name, str | int) for name in names):
            raise ValidationError(
                "Template error: every Fn::FindInMap object requires three parameters, the map name, map key "
                "and the attribute for return value"
            )
        name, first, second = names
        try:
            return self._template.mappings[name][first][second]
        except KeyError:
            raise ValidationError(
                f"Template error: Unable to get mapping for {name}::{first}::{second}"
            ) from None


def _is_list(node: Any, length: int) -> bool:
    return isinstance(node, list) and len(node) == length
