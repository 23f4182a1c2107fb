"""Intrinsic functions: a part of a template becomes the value that it stands for.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import base64
import json
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
            "Fn::Join": lambda node: node[0].join(map(str, self.evaluate(node[1]))),
            "Fn::If": lambda node: self._evaluate(node[1 if self.condition(node[0]) else 2]),
            "Fn::Select": lambda node: self.evaluate(node[1])[int(self.evaluate(node[0]))],
            "Fn::Split": lambda node: str(self.evaluate(node[1])).split(node[0]),
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": lambda node: base64.b64encode(str(self.evaluate(node)).encode()).decode(),
            "Fn::ToJsonString": lambda node: json.dumps(self.evaluate(node), separators=(",", ":")),
            "Fn::Equals": lambda node: str(self.evaluate(node[0])) == str(self.evaluate(node[1])),
            "Fn::Not": lambda node: not self.evaluate(node[0]),
            "Fn::And": lambda node: all(self.evaluate(item) for item in node),
            "Fn::Or": lambda node: any(self.evaluate(item) for item in node),
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

    def _find_in_map(self, node: list[Any]) -> Any:
        name, first, second = (self.evaluate(item) for item in node[:3])
        try:
            return self._template.mappings[name][first][second]
        except KeyError:
            raise ValidationError(
                f"Template error: Unable to get mapping for {name}::{first}::{second}"
            ) from None
