"""Expressions in a definition: `{"Get": …}`, `{"Std:Join": …}`, `{"Std:JsonGet": …}`.

Wherever a definition may hold a value, it may hold one of these instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from localaws.documents import Document
from localaws.sagemaker.engine import paths
from localaws.sagemaker.engine.parameters import Value, to_text
from localaws.sagemaker.engine.paths import PathError

EXECUTION_VARIABLES = frozenset(
    {
        "StartDateTime",
        "CurrentDateTime",
        "PipelineName",
        "PipelineArn",
        "PipelineExecutionId",
        "PipelineExecutionArn",
        "TrainingJobName",
        "ProcessingJobName",
    }
)


class ExpressionError(Exception):
    """An expression that has no value; the message says which, and why."""


class Scope(Protocol):
    """Where expressions find what they name."""

    def parameter(self, name: str) -> Value: ...

    def execution_variable(self, name: str) -> str: ...

    def step_properties(self, step: str) -> Document:
        """What the ended step's Describe operation answered. Raises ExpressionError."""

    def property_file(self, step: str, name: str) -> Any:
        """The content of a step's property file. Raises ExpressionError."""

    def json_file(self, uri: str) -> Any:
        """The content of a JSON file on S3. Raises ExpressionError."""


def function_of(value: Any) -> str | None:
    """`Get`, `Std:Join` or `Std:JsonGet` if the value is an expression."""
    if isinstance(value, dict) and len(value) == 1:
        name = next(iter(value))
        if name == "Get" or name.startswith("Std:"):
            return name
    return None


def evaluate(value: Any, scope: Scope) -> Any:
    """The value with every expression inside it replaced; members that are null are left out.

    Raises ExpressionError.
    """
    function = function_of(value)
    if function == "Get":
        return _get(value["Get"], scope)
    if function == "Std:Join":
        return _join(value["Std:Join"], scope)
    if function == "Std:JsonGet":
        return _json_get(value["Std:JsonGet"], scope)
    if function is not None:
        raise ExpressionError(f"{function} is no function of pipelines.")
    if isinstance(value, dict):
        return {key: evaluate(item, scope) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [evaluate(item, scope) for item in value]
    return value


def references_in(value: Any) -> Iterator[str]:
    """Every reference in the value, such as `Parameters.Epochs` or `Steps.Train.TrainingJobName`."""
    if function_of(value) == "Get":
        yield value["Get"]
    elif isinstance(value, dict):
        for item in value.values():
            yield from references_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from references_in(item)


def steps_named_in(value: Any) -> set[str]:
    """The names of the steps that the value refers to."""
    named = set()
    for reference in references_in(value):
        kind, _, rest = str(reference).partition(".")
        if kind == "Steps":
            named.add(step_of(rest))
    return named


def step_of(rest: str) -> str:
    """`Train.ModelArtifacts.S3ModelArtifacts` is about the step `Train`."""
    return rest.partition(".")[0].partition("[")[0]


def _get(reference: str, scope: Scope) -> Any:
    kind, _, rest = reference.partition(".")
    if kind == "Parameters":
        return scope.parameter(rest)
    if kind == "Execution":
        return scope.execution_variable(rest)
    if kind != "Steps":
        raise ExpressionError(
            f"{reference!r} refers to nothing: it begins with none of Parameters, Execution, Steps."
        )
    try:
        step, *path = paths.parse(rest)
        return paths.look_up(scope.step_properties(str(step)), tuple(path))
    except PathError as error:
        raise ExpressionError(f"{reference!r} has no value. {error}") from error


def _join(arguments: Document, scope: Scope) -> str:
    values = [evaluate(value, scope) for value in arguments["Values"]]
    for value in values:
        if isinstance(value, dict | list):
            raise ExpressionError(f"Std:Join joins texts, numbers and booleans, not {to_text(value)[:200]}.")
    return str(arguments.get("On", "")).join(map(to_text, values))


def _json_get(arguments: Document, scope: Scope) -> Any:
    if "S3Uri" in arguments:
        what = evaluate(arguments["S3Uri"], scope)
        content = scope.json_file(what)
    else:
        what = arguments["PropertyFile"]["Get"]
        step, name = property_file_of(what)
        content = scope.property_file(step, name)
    try:
        return paths.look_up(content, paths.parse(arguments["Path"]))
    except PathError as error:
        raise ExpressionError(
            f"Std:JsonGet of {arguments['Path']!r} in {what!r} has no value. {error}"
        ) from error


def property_file_of(reference: Any) -> tuple[str, str]:
    """`Steps.Evaluate.PropertyFiles.Report` is `("Evaluate", "Report")`. Raises ExpressionError."""
    parts = str(reference).split(".", 3)
    if len(parts) != 4 or parts[0] != "Steps" or parts[2] != "PropertyFiles":
        raise ExpressionError(
            f"{reference!r} is no property file: expected Steps.<step>.PropertyFiles.<name>."
        )
    return parts[1], parts[3]
