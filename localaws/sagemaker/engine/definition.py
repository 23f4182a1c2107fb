"""The pipeline definition, schema version 2020-12-01, read into something to walk through.

Schema: https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from localaws.documents import Document
from localaws.sagemaker.engine.expressions import steps_named_in
from localaws.sagemaker.engine.parameters import Parameter
from localaws.sagemaker.engine.schema import shape_problems
from localaws.sagemaker.errors import ValidationError

VERSION = "2020-12-01"


@dataclass(frozen=True)
class Step:
    """One step; those inside a condition's branches stand beside it and know their branch.

    Attributes:
        arguments: the `Arguments` as they are written; a condition's without its branches.
        document: the whole step as it is written.
        branch: the condition that it belongs to, and that condition's outcome ("True" or "False").
    """

    name: str
    type: str
    arguments: Document
    document: Document = field(repr=False)
    branch: tuple[str, str] | None = None

    @cached_property
    def depends_on(self) -> frozenset[str]:
        """The steps that must have ended well before this one starts."""
        named = set(self.document.get("DependsOn") or ()) | steps_named_in(self.values)
        return frozenset(named | {self.branch[0]} if self.branch else named)

    @property
    def values(self) -> list[Any]:
        """All of the step that may hold expressions."""
        return [self.arguments, self.document.get("FunctionArn"), self.document.get("SqsQueueUrl")]

    @property
    def property_files(self) -> dict[str, Document]:
        files = self.document.get("PropertyFiles") or []
        return {file["PropertyFileName"]: file for file in files}

    @property
    def output_types(self) -> dict[str, str]:
        """Of a Lambda or callback step: its outputs' names and types."""
        return {
            each["OutputName"]: each["OutputType"] for each in self.document.get("OutputParameters") or []
        }


@dataclass(frozen=True)
class Definition:
    """A definition: its parameters and steps by name, in the order in which they are written."""

    parameters: dict[str, Parameter]
    steps: dict[str, Step]
    experiment: Document | None = None

    def descendants(self, name: str) -> set[str]:
        """All steps that come after this one."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            last = waiting.pop()
            following = {step.name for step in self.steps.values() if last in step.depends_on}
            waiting.extend(following - found)
            found |= following
        return found


def read_definition(text: str) -> Definition:
    """Reads a definition's JSON. Raises ValidationError for what is no definition at all.

    `localaws.sagemaker.engine.validation` checks the rest.
    """
    document = _json_object(text)
    version = document.get("Version")
    if version != VERSION:
        raise ValidationError(f"Pipeline definition: Version must be {VERSION!r}, not {version!r}.")
    parameters = [Parameter.read(each) for each in _objects(document, "Parameters", "Pipeline definition")]
    steps = list(_read_steps(_objects(document, "Steps", "Pipeline definition"), None))
    if not steps:
        raise ValidationError("Pipeline definition: Steps must name at least one step.")
    _refuse_twins("parameter", [parameter.name for parameter in parameters])
    _refuse_twins("step", [step.name for step in steps])
    return Definition(
        {parameter.name: parameter for parameter in parameters},
        {step.name: step for step in steps},
        document.get("PipelineExperimentConfig"),
    )


def _json_object(text: str) -> Document:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValidationError(f"Pipeline definition is not valid JSON: {error}.") from error
    if not isinstance(document, dict):
        raise ValidationError("Pipeline definition must be a JSON object.")
    return document


def _objects(document: Document, member: str, where: str) -> list[Document]:
    value = document.get(member) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValidationError(f"{where}: {member} must be a list of objects.")
    return value


def _read_steps(documents: list[Document], branch: tuple[str, str] | None) -> Iterator[Step]:
    for document in documents:
        name, kind, arguments = document.get("Name"), document.get("Type"), document.get("Arguments", {})
        if not isinstance(name, str) or not isinstance(kind, str) or not isinstance(arguments, dict):
            raise ValidationError(f"Step {name!r}: Name and Type must be texts, and Arguments an object.")
        problems = list(shape_problems(document))
        if problems:
            raise ValidationError(f"Step {name!r}: {' '.join(problems)}")
        if kind != "Condition":
            yield Step(name, kind, arguments, document, branch)
            continue
        own = {key: value for key, value in arguments.items() if key not in ("IfSteps", "ElseSteps")}
        yield Step(name, kind, own, document, branch)
        for member, outcome in (("IfSteps", "True"), ("ElseSteps", "False")):
            yield from _read_steps(_objects(arguments, member, f"Step {name!r}"), (name, outcome))


def _refuse_twins(what: str, names: list[str]) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValidationError(
            f"Pipeline definition: {what} names must be unique, but {', '.join(twins)} repeats."
        )
