"""From a state machine's definition (Amazon States Language) to a graph, and an execution's steps onto it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from workflows.graph.model import Edge, Graph, Node, Status
from workflows.history import Step

_STATUS = {
    "Succeeded": Status.SUCCEEDED,
    "Caught": Status.CAUGHT,
    "Running": Status.RUNNING,
    "Waiting": Status.WAITING,
    "Aborted": Status.ABORTED,
    "Failed": Status.FAILED,
    "TimedOut": Status.FAILED,
}
_SHAPES = {"Choice": "hexagon", "Succeed": "pill", "Fail": "pill"}
_OPERATORS = (
    ("GreaterThanEquals", "≥"),
    ("LessThanEquals", "≤"),
    ("GreaterThan", ">"),
    ("LessThan", "<"),
    ("Equals", "="),
    ("Matches", "matches"),
)


def graph(definition: Mapping[str, Any], steps: Iterable[Step] | None = None) -> Graph:
    """The machine's graph; with `steps`, how its states fared and which ways were taken."""
    visits: dict[str, list[Step]] | None = None
    if steps is not None:
        visits = {}
        for step in steps:
            visits.setdefault(step.name, []).append(step)
    return _graph(definition, "", visits, hidden=False)


def _graph(
    machine: Mapping[str, Any], path: str, visits: dict[str, list[Step]] | None, hidden: bool
) -> Graph:
    """`hidden`: inside a distributed map that ran; its states are in other executions' histories."""
    states = machine["States"]
    start, end = f"{path}#start", f"{path}#end"
    reached = visits is not None and any(visits.get(name) for name in states)
    ends = [name for name, state in states.items() if state.get("End")]
    dot = _dot_status(visits, reached, hidden)
    nodes = [Node(start, "Start", "dot", status=dot)]
    nodes += [_node(name, state, path, visits, hidden) for name, state in states.items()]
    edges = [Edge(start, path + machine["StartAt"], taken=dot if reached else None)]
    for name, state in states.items():
        edges += _edges(name, state, path, visits)
    ended = [edge for edge in (_to_end(name, path, end, visits) for name in ends) if edge]
    if ends:
        over = any(edge.taken for edge in ended)
        nodes.append(Node(end, "End", "dot", status=_dot_status(visits, over, hidden)))
    return Graph(tuple(nodes), (*edges, *ended))


def _dot_status(visits: dict[str, list[Step]] | None, reached: bool, hidden: bool) -> Status:
    if visits is None or hidden:
        return Status.PLAIN
    return Status.SUCCEEDED if reached else Status.NOT_REACHED


def _to_end(name: str, path: str, end: str, visits: dict[str, list[Step]] | None) -> Edge:
    done = visits is not None and any(step.status == "Succeeded" for step in visits.get(name, ()))
    return Edge(path + name, end, taken=Status.SUCCEEDED if done else None)


def _node(
    name: str, state: Mapping[str, Any], path: str, visits: dict[str, list[Step]] | None, hidden: bool
) -> Node:
    steps = None if visits is None else visits.get(name, [])
    kind = str(state["Type"])
    mine = f"{path}{name}/"
    below = hidden or (steps is not None and any(step.map_run for step in steps))
    parts = state.get("Branches") or [
        part for part in (state.get("ItemProcessor") or state.get("Iterator"),) if part
    ]
    inner = tuple(_graph(part, f"{mine}{index}/", visits, below) for index, part in enumerate(parts))
    status = _status(steps) if steps or not hidden else Status.PLAIN
    caption = " · ".join([_kind(kind, state), *(_course(steps) if steps else [])])
    failed = [step for step in steps or [] if step.error]
    errors = [f"{step.error}: {step.message or 'no cause given'}" for step in failed[:3]]
    comment = [str(state["Comment"])] if state.get("Comment") else []
    tooltip = "\n".join([name, *comment, *errors])
    return Node(path + name, name, _SHAPES.get(kind, "box"), caption, tooltip, status, inner)


def _status(steps: list[Step] | None) -> Status:
    """The one of several visits that asks most for a look."""
    if steps is None:
        return Status.PLAIN
    order = list(Status)
    return max((_STATUS[step.status] for step in steps), key=order.index, default=Status.NOT_REACHED)


def _kind(kind: str, state: Mapping[str, Any]) -> str:
    """The state's type, and for a task whom it asks."""
    if kind == "Map":
        config = (state.get("ItemProcessor") or {}).get("ProcessorConfig", {})
        return "Distributed Map" if config.get("Mode") == "DISTRIBUTED" else "Map"
    if kind != "Task":
        return kind
    resource = str(state.get("Resource", ""))
    service = resource.removeprefix("arn:aws:states:::").removeprefix("aws-sdk:")
    if service == resource:  # a function's or an activity's own ARN
        service = next((word for word in ("lambda", "activity") if f":{word}" in resource), "")
    service, _, pattern = service.partition(".")
    waits = {"waitForTaskToken": "task token", "sync": "sync"}
    return " ".join(
        part for part in ("Task", service, f"({waits[pattern]})" if pattern in waits else "") if part
    )


def _course(steps: list[Step]) -> list[str]:
    """What became of the visits, in words."""
    retries = sum(step.retries for step in steps)
    again = [f"{retries} {'retry' if retries == 1 else 'retries'}"] if retries else []
    if len(steps) == 1:
        step = steps[0]
        took = [] if step.type in ("Choice", "Pass", "Succeed", "Fail") else [duration(step.seconds)]
        return [*took, *([items(step.items)] if step.items else []), *again]
    counts = Counter(_STATUS[step.status].value for step in steps)
    words = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    return [f"{len(steps)} times: {words}", *again]


def items(counts: Mapping[str, int]) -> str:
    """A map run's items: how many, and how many of each status that there is."""
    words = {"succeeded": "succeeded", "failed": "failed", "timedOut": "timed out", "aborted": "aborted"}
    words |= {"running": "running", "pending": "pending"}
    parts = [f"{counts[key]} {word}" for key, word in words.items() if counts.get(key)]
    return f"{counts.get('total', 0)} items: {', '.join(parts)}" if parts else "no items"


def duration(seconds: float) -> str:
    """Short, for a person: 0.42 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _edges(
    name: str, state: Mapping[str, Any], path: str, visits: dict[str, list[Step]] | None
) -> list[Edge]:
    """One edge a target and kind: several rules or catchers of one target are told together."""
    ways: dict[tuple[str, bool], list[str]] = {}
    for rule in state.get("Choices", ()):
        ways.setdefault((rule["Next"], False), []).append(condition(rule))
    if "Default" in state:
        ways.setdefault((state["Default"], False), []).append("otherwise")
    if "Next" in state:
        ways.setdefault((state["Next"], False), []).append("")
    for catcher in state.get("Catch", ()):
        ways.setdefault((catcher["Next"], True), []).extend(catcher["ErrorEquals"])
    edges = []
    for (target, dashed), told in ways.items():
        taken = _taken(name, target, dashed, visits)
        texts = [text for text in told if text]
        tooltip = ("Catch " + ", ".join(texts)) if dashed else " or ".join(texts)
        label = "" if dashed else tooltip
        edges.append(Edge(path + name, path + target, label, tooltip, dashed, taken))
    return edges


def _taken(name: str, target: str, dashed: bool, visits: dict[str, list[Step]] | None) -> Status | None:
    """A state's Next and its Catch may lead to the same state: how the state ended tells which it was."""
    if visits is None or not any(step.origin == name for step in visits.get(target, ())):
        return None
    ends = {step.status == "Caught" for step in visits.get(name, ())}
    if dashed not in ends:
        return None
    return Status.CAUGHT if dashed else Status.SUCCEEDED


def condition(rule: Mapping[str, Any]) -> str:
    """A choice rule as a short expression, of JSONPath or JSONata."""
    if "Condition" in rule:
        return str(rule["Condition"]).removeprefix("{%").removesuffix("%}").strip()
    for name, word in (("And", " and "), ("Or", " or ")):
        if name in rule:
            return word.join(condition(part) for part in rule[name])
    if "Not" in rule:
        return f"not ({condition(rule['Not'])})"
    variable = str(rule.get("Variable", ""))
    operator = next(
        (key for key in rule if key not in ("Variable", "Next", "Comment", "Assign", "Output")), ""
    )
    value = rule.get(operator)
    if operator.startswith("Is"):
        return f"{variable} is {'' if value else 'not '}{operator[2:].lower()}"
    plain = operator.removesuffix("Path")
    sign = next((sign for end, sign in _OPERATORS if plain.endswith(end)), plain)
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{variable} {sign} {shown}"
