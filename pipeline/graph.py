"""From a pipeline's stored definition to a graph, and an execution's step statuses onto it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workflows.graph.asl import duration
from workflows.graph.model import Edge, Graph, Node, Status

if TYPE_CHECKING:
    from pipeline.runs import StepState

_STATUS = {
    "Starting": Status.RUNNING,
    "Executing": Status.RUNNING,
    "Stopping": Status.RUNNING,
    "Stopped": Status.ABORTED,
    "Failed": Status.FAILED,
    "Succeeded": Status.SUCCEEDED,
}
_SHAPES = {"Condition": "hexagon", "Fail": "pill"}
_SIGNS = {
    "Equals": "=",
    "GreaterThan": ">",
    "GreaterThanOrEqualTo": "≥",
    "LessThan": "<",
    "LessThanOrEqualTo": "≤",
}


def graph(definition: Mapping[str, Any], states: Iterable[StepState] | None = None) -> Graph:
    """The pipeline's DAG. An arrow is a dependency, named or by reference; implied ones are left out."""
    reached = None if states is None else {state.name: state for state in states}
    steps = list(all_steps(definition["Steps"]))
    names = {step["Name"] for step in steps}
    needs = {step["Name"]: _needs(step) & names - {step["Name"]} for step in steps}
    gated = {
        (step["Name"], child): label
        for step in steps
        if step["Type"] == "Condition"
        for child, label in _branches(step, needs)
    }
    follows = {name: set(before) for name, before in needs.items()}
    for gate, child in gated:
        follows[child].add(gate)
    pairs = [
        (before, step["Name"])
        for step in steps
        for before in sorted(follows[step["Name"]], key=[other["Name"] for other in steps].index)
        if (before, step["Name"]) in gated or not _implied(before, step["Name"], follows)
    ]
    nodes = tuple(_node(step, reached) for step in steps)
    edges = tuple(
        Edge(before, name, label := gated.get((before, name), ""), label, taken=_taken(name, reached))
        for before, name in pairs
    )
    return Graph(nodes, edges)


def all_steps(steps: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The steps and those inside conditions, in the order of the definition."""
    for step in steps:
        yield step
        if step["Type"] == "Condition":
            for branch in ("IfSteps", "ElseSteps"):
                yield from all_steps(step["Arguments"].get(branch) or ())


def _needs(step: Mapping[str, Any]) -> set[str]:
    """The steps that it depends on by name or by a reference such as `Steps.TrainModel.ModelArtifacts`."""
    arguments = {
        key: value
        for key, value in (step.get("Arguments") or {}).items()
        if step["Type"] != "Condition" or key not in ("IfSteps", "ElseSteps")
    }
    return {reference.split(".")[1] for reference in _references(arguments)} | set(
        step.get("DependsOn") or ()
    )


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "Get" and isinstance(inner, str) and inner.startswith("Steps."):
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _branches(step: Mapping[str, Any], needs: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """The steps that a condition leads to first, with what has to hold for each."""
    conditions = [_condition(one) for one in step["Arguments"].get("Conditions") or ()]
    for branch, label in (("IfSteps", " and ".join(conditions)), ("ElseSteps", "otherwise")):
        children = [child["Name"] for child in step["Arguments"].get(branch) or ()]
        for child in children:
            if not needs[child] & set(children):
                yield child, label


def _condition(condition: Mapping[str, Any]) -> str:
    kind = str(condition["Type"])
    if kind in ("And", "Or"):
        return f" {kind.lower()} ".join(_condition(part) for part in condition["Conditions"])
    if kind == "Not":
        return f"not ({_condition(condition['Expression'])})"
    if kind == "In":
        values = ", ".join(_operand(value) for value in condition["Values"])
        return f"{_operand(condition['QueryValue'])} in {values}"
    return f"{_operand(condition['LeftValue'])} {_SIGNS.get(kind, kind)} {_operand(condition['RightValue'])}"


def _operand(value: Any) -> str:
    """A value, or the short name of what it is read from."""
    if isinstance(value, Mapping):
        if "Get" in value:
            return str(value["Get"]).removeprefix("Parameters.").removeprefix("Steps.")
        if "Std:JsonGet" in value:
            return ".".join(str(value["Std:JsonGet"].get("Path", "")).split(".")[-2:])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _implied(before: str, name: str, follows: Mapping[str, set[str]]) -> bool:
    """Whether `name` follows on `before` by way of another step as well."""
    waiting, seen = list(follows[name] - {before}), set()
    while waiting:
        one = waiting.pop()
        if one == before:
            return True
        if one not in seen:
            seen.add(one)
            waiting.extend(follows[one])
    return False


def _node(step: Mapping[str, Any], reached: Mapping[str, StepState] | None) -> Node:
    name, kind = str(step["Name"]), str(step["Type"])
    state = reached.get(name) if reached else None
    status = Status.PLAIN if reached is None else Status.NOT_REACHED
    course: list[str] = []
    if state:
        status = _STATUS.get(state.status, Status.RUNNING)
        if state.cached:
            course = ["cached"]
        elif state.seconds is not None and kind not in ("Condition", "Fail"):
            course = [duration(state.seconds)]
    about = [name, str(step.get("Description") or ""), (state.reason if state else None) or ""]
    tooltip = "\n".join(text for text in about if text)
    return Node(name, name, _SHAPES.get(kind, "box"), " · ".join([kind, *course]), tooltip, status)


def _taken(name: str, reached: Mapping[str, StepState] | None) -> Status | None:
    """In the colour of the step that it led to."""
    state = reached.get(name) if reached else None
    return _STATUS.get(state.status, Status.RUNNING) if state else None
