"""What Step Functions checks and fills in, and moto does not: transitions, execution names, input size."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from moto.core.request import Request

from localaws.errors import AwsError
from localaws.operations import Operation
from localaws.wire import json_body, with_json

_INPUT_BYTES = 262_144


def prepared(request: Request, operation: Operation) -> Request:
    """The request as moto needs it. Raises AwsError for one that Step Functions refuses."""
    if operation.name in ("CreateStateMachine", "UpdateStateMachine"):
        _check(json_body(request).get("definition"))
    elif operation.name == "StartExecution":
        return _start(request)
    return request


def _start(request: Request) -> Request:
    body = json_body(request)
    given = body.get("input")
    if isinstance(given, str) and len(given.encode()) > _INPUT_BYTES:
        raise AwsError(
            "ValidationException",
            "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have "
            f"length less than or equal to {_INPUT_BYTES}",
        )
    if body.get("name") is None:
        return with_json(request, body | {"name": str(uuid.uuid4())})
    return request


def _check(definition: Any) -> None:
    """moto's parser refuses what is not Amazon States Language at all; here, what leads nowhere."""
    try:
        machine = json.loads(definition)
    except (TypeError, ValueError):
        return
    problems = list(dangling(machine))
    if problems:
        said = ", ".join(problems)
        raise AwsError("InvalidDefinition", f"Invalid State Machine Definition: '{said}'")


def dangling(machine: Any, path: str = "") -> Iterator[str]:
    """Each transition of a definition that names no state, in Step Functions' words.

    Looks into the branches of Parallel states and the processors of Map states.
    """
    if not isinstance(machine, dict) or not isinstance(machine.get("States"), dict):
        return
    states = machine["States"]
    if machine.get("StartAt") not in states:
        yield _missing("StartAt", machine.get("StartAt"), f"{path}/StartAt")
    for name, state in states.items():
        if not isinstance(state, dict):
            continue
        here = f"{path}/States/{name}"
        for key, target, where in _transitions(state, here):
            if target not in states:
                yield _missing(key, target, where)
        for index, branch in enumerate(state.get("Branches") or []):
            yield from dangling(branch, f"{here}/Branches[{index}]")
        for key in ("Iterator", "ItemProcessor"):
            yield from dangling(state.get(key), f"{here}/{key}")


def _transitions(state: dict[str, Any], path: str) -> Iterator[tuple[str, Any, str]]:
    for key in ("Next", "Default"):
        if key in state:
            yield key, state[key], f"{path}/{key}"
    for key in ("Choices", "Catch"):
        for index, rule in enumerate(state.get(key) or []):
            if isinstance(rule, dict) and "Next" in rule:
                yield "Next", rule["Next"], f"{path}/{key}[{index}]/Next"


def _missing(key: str, target: Any, where: str) -> str:
    return f"MISSING_TRANSITION_TARGET: Missing '{key}' target: {target} at {where}"
