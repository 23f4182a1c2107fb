"""A template as text and as data: parsed, its parameters filled in, its resources put in order."""

from __future__ import annotations

import graphlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from localaws.cloudformation.errors import ValidationError

Document = dict[str, Any]

BODY_BYTES = 51_200
_REFERENCE = re.compile(r"\$\{(?!!)\s*([^}]+?)\s*\}")
_SECTIONS = {
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Rules",
    "Mappings",
    "Conditions",
    "Transform",
    "Resources",
    "Outputs",
}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms; dates stay texts, as in "2012-10-17"."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Document:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)
_Loader.yaml_implicit_resolvers = {
    letter: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for letter, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Template:
    """A parsed template.

    Attributes:
        resources: by logical id, as written.
    """

    text: str
    description: str | None
    parameters: Document
    mappings: Document
    conditions: Document
    resources: Document
    outputs: Document

    @property
    def order(self) -> list[str]:
        """Logical ids, each behind those that it refers to or depends on.

        Raises:
            ValidationError: they refer to each other in a circle.
        """
        graph = {name: self.dependencies(name) for name in self.resources}
        try:
            return list(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            circle = ", ".join(sorted(set(error.args[1])))
            raise ValidationError(f"Circular dependency between resources: [{circle}]") from None

    def dependencies(self, name: str) -> set[str]:
        resource = self.resources[name]
        explicit = resource.get("DependsOn") or []
        explicit = [explicit] if isinstance(explicit, str) else explicit
        found = {reference for reference, _ in references(resource.get("Properties") or {})}
        return {other for other in {*explicit, *found} if other in self.resources and other != name}


def references(node: Any) -> Iterator[tuple[str, str | None]]:
    """Each name that a part of a template refers to, with the attribute where it is one's."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "Ref":
            yield str(value), None
        elif key == "Fn::GetAtt":
            name, _, attribute = (value if isinstance(value, str) else ".".join(map(str, value))).partition(
                "."
            )
            yield name, attribute
        elif key == "Fn::Sub":
            text, own = (value, {}) if isinstance(value, str) else value
            yield from references(own)
            for reference in _REFERENCE.findall(text):
                name, _, attribute = reference.partition(".")
                if name not in own:
                    yield name, attribute or None
        else:
            yield from references(value)


@lru_cache(64)
def parse(text: str) -> Template:
    """Raises ValidationError, in CloudFormation's words, for what is no template."""
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Loader)  # noqa: S506
    except (ValueError, yaml.YAMLError) as error:
        raise ValidationError(f"Template format error: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ValidationError("Template format error: unsupported structure.")
    unknown = set(document) - _SECTIONS
    if unknown:
        said = ", ".join(sorted(map(str, unknown)))
        raise ValidationError(f"Invalid template property or properties [{said}]")
    for missing in ("Transform", "Rules"):
        if missing in document:
            raise ValidationError(f"The local AWS does not have {missing} in templates")
    if not document.get("Resources"):
        raise ValidationError("Template format error: At least one Resources member must be defined.")
    template = Template(
        text=text,
        description=document.get("Description"),
        parameters=document.get("Parameters") or {},
        mappings=document.get("Mappings") or {},
        conditions=document.get("Conditions") or {},
        resources=document["Resources"],
        outputs=document.get("Outputs") or {},
    )
    if any("Export" in output for output in template.outputs.values()):
        raise ValidationError("The local AWS does not have Export in templates")
    _check_references(template)
    return template


def _check_references(template: Template) -> None:
    known = {*template.parameters, *template.resources}
    parts = {
        "Resources": {n: r.get("Properties") for n, r in template.resources.items()},
        "Outputs": template.outputs,
    }
    for section, part in parts.items():
        missing = {
            name
            for name, attribute in references(part)
            if name not in (template.resources if attribute else known) and not name.startswith("AWS::")
        }
        if missing:
            said = ", ".join(sorted(missing))
            raise ValidationError(
                f"Template format error: Unresolved resource dependencies [{said}] in the {section} block of "
                "the template"
            )


def fill_in(template: Template, given: Mapping[str, str]) -> dict[str, str]:
    """The value of every parameter. Raises ValidationError for one that is missing, unknown or refused."""
    unknown = sorted(set(given) - set(template.parameters))
    if unknown:
        raise ValidationError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {}
    missing = []
    for name, spec in template.parameters.items():
        if name in given:
            values[name] = given[name]
        elif "Default" in spec:
            values[name] = _text(spec["Default"])
        else:
            missing.append(name)
    if missing:
        raise ValidationError(f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in values.items():
        _check_parameter(name, value, template.parameters[name])
    return values


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_parameter(name: str, value: str, spec: Document) -> None:
    problem = None
    if spec["Type"] == "Number":
        problem = _number_problem(value, spec)
    elif "AllowedPattern" in spec and not re.fullmatch(spec["AllowedPattern"], value):
        problem = f"must match pattern {spec['AllowedPattern']}"
    elif len(value) < int(spec.get("MinLength", 0)):
        problem = f"must have length greater than or equal to {spec['MinLength']}"
    elif len(value) > int(spec.get("MaxLength", len(value))):
        problem = f"must have length less than or equal to {spec['MaxLength']}"
    allowed = spec.get("AllowedValues")
    if allowed and value not in [_text(item) for item in allowed]:
        problem = f"must be one of the allowed values {allowed}"
    if problem:
        told = spec.get("ConstraintDescription") or problem
        raise ValidationError(f"Parameter '{name}' {told} (it is '{value}')")


def _number_problem(value: str, spec: Document) -> str | None:
    try:
        number = float(value)
    except ValueError:
        return "must be a number"
    if number < float(spec.get("MinValue", number)):
        return f"must be a number not less than {spec['MinValue']}"
    if number > float(spec.get("MaxValue", number)):
        return f"must be a number not greater than {spec['MaxValue']}"
    return None
