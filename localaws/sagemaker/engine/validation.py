"""Is a definition one that can run? Checked when a pipeline is created or updated, before it is stored."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

from localaws.sagemaker.engine import paths
from localaws.sagemaker.engine.definition import Definition, Step, read_definition
from localaws.sagemaker.engine.expressions import (
    EXECUTION_VARIABLES,
    ExpressionError,
    function_of,
    property_file_of,
    references_in,
    step_of,
)
from localaws.sagemaker.errors import ValidationError

_STEP_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")


def check_definition(text: str, types: Collection[str]) -> Definition:
    """The definition, which can run here. Raises ValidationError with all that is wrong with it.

    `types` are the types of steps that can run.
    """
    definition = read_definition(text)
    problems = [
        problem for step in definition.steps.values() for problem in _check_step(step, definition, types)
    ]
    if not problems:
        problems.extend(_check_cycles(definition))
    if problems:
        raise ValidationError(f"Pipeline definition: {' '.join(problems)}")
    return definition


def _check_step(step: Step, definition: Definition, types: Collection[str]) -> Iterator[str]:
    name = f"step {step.name!r}"
    if not _STEP_NAME.fullmatch(step.name):
        yield f"{name}: its name must have 1 to 64 letters, digits, '-' or '_'."
    if step.type not in types:
        yield (
            f"{name} is of type {step.type}, which the local SageMaker cannot run. "
            f"It runs: {', '.join(sorted(types))}."
        )
    for other in step.document.get("DependsOn") or []:
        if other not in definition.steps:
            yield f"{name} depends on {other!r}, but there is no such step."
    yield from (f"{name}: {problem}" for problem in _check_expressions(step.values))
    for reference in references_in(step.values):
        yield from (f"{name}: {problem}" for problem in _check_reference(reference, definition))


def _check_expressions(value: Any) -> Iterator[str]:
    """Are the functions in the value known, and have they what they need?"""
    function = function_of(value)
    body = value[function] if function else None
    if function == "Get" and not isinstance(body, str):
        yield f"Get takes a text, not {body!r}."
    elif function == "Std:Join" and not (isinstance(body, dict) and isinstance(body.get("Values"), list)):
        yield "Std:Join needs a list of Values."
    elif function == "Std:JsonGet":
        yield from _check_json_get(body)
    elif function not in (None, "Get", "Std:Join"):
        yield f"{function} is no function of pipelines: there are Get, Std:Join and Std:JsonGet."
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        yield from _check_expressions(item)


def _check_json_get(body: Any) -> Iterator[str]:
    if not isinstance(body, dict) or ("PropertyFile" in body) == ("S3Uri" in body):
        yield "Std:JsonGet needs either a PropertyFile or an S3Uri."
        return
    if "PropertyFile" in body and function_of(body["PropertyFile"]) != "Get":
        yield "Std:JsonGet: PropertyFile must be a Get of Steps.<step>.PropertyFiles.<name>."
    try:
        paths.parse(str(body.get("Path") or ""))
    except paths.PathError as error:
        yield f"Std:JsonGet: {error}"


def _check_reference(reference: Any, definition: Definition) -> Iterator[str]:
    kind, _, rest = str(reference).partition(".")
    if kind == "Parameters":
        if rest not in definition.parameters:
            yield f"it refers to the parameter {rest!r}, which is not declared."
    elif kind == "Execution":
        if rest not in EXECUTION_VARIABLES:
            yield f"it refers to {reference!r}, but there is no such execution variable."
    elif kind == "Steps":
        yield from _check_step_reference(reference, rest, definition)
    else:
        yield f"it refers to {reference!r}, which begins with none of Parameters, Execution and Steps."


def _check_step_reference(reference: str, rest: str, definition: Definition) -> Iterator[str]:
    step = definition.steps.get(step_of(rest))
    if step is None:
        yield f"it refers to {reference!r}, but there is no step {step_of(rest)!r}."
        return
    try:
        parsed = paths.parse(rest)
        if len(parsed) == 1:
            yield f"it refers to {reference!r}, which names no property of the step."
        elif parsed[1] == "PropertyFiles":
            _, name = property_file_of(reference)
            if name not in step.property_files:
                yield f"it refers to the property file {name!r}, which step {step.name!r} does not declare."
    except (paths.PathError, ExpressionError) as error:
        yield str(error)


def _check_cycles(definition: Definition) -> Iterator[str]:
    try:
        TopologicalSorter({step.name: step.depends_on for step in definition.steps.values()}).prepare()
    except CycleError as error:
        yield f"its steps wait for each other in a cycle: {' → '.join(error.args[1])}."
