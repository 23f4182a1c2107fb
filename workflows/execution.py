"""One execution of a state machine: which one is meant, its definition, and what happened in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from workflows.history import Step, events, steps

_MISSING = ("ExecutionDoesNotExist", "InvalidArn")


class NoExecutionError(Exception):
    """The execution is not there. The message says where to look."""


@dataclass(frozen=True)
class Execution:
    """An execution with its steps and the definition that it ran by.

    Attributes:
        error, cause: of one that failed.
    """

    name: str
    execution_arn: str
    state_machine_arn: str
    status: str
    started: datetime
    stopped: datetime | None
    error: str | None
    cause: str | None
    definition: dict[str, Any]
    steps: tuple[Step, ...]

    @property
    def machine(self) -> str:
        """The state machine's name."""
        return self.state_machine_arn.split(":")[6]

    @property
    def seconds(self) -> float:
        end = self.stopped or datetime.now(self.started.tzinfo)
        return max(0.0, (end - self.started).total_seconds())


def resolve(step_functions: Any, state_machine_arn: str, reference: str | None) -> str:
    """The ARN of the execution with this ARN or name, or of the machine's newest.

    Raises:
        NoExecutionError: it was never started.
    """
    if reference and reference.startswith("arn:"):
        return reference
    if reference:
        return f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{reference}"
    found = step_functions.list_executions(stateMachineArn=state_machine_arn, maxResults=1)["executions"]
    if not found:
        machine = state_machine_arn.rsplit(":", 1)[-1]
        raise NoExecutionError(f"the state machine {machine} has no execution yet")
    return str(found[0]["executionArn"])


def read(step_functions: Any, execution_arn: str) -> Execution:
    """The execution as it is now, running or not.

    Raises:
        NoExecutionError: there is none of this ARN.
    """
    try:
        found = step_functions.describe_execution(executionArn=execution_arn)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _MISSING:
            raise
        name = execution_arn.rsplit(":", 1)[-1]
        raise NoExecutionError(f"there is no execution {name}: see `scones workflow list`") from None
    done = tuple(steps(events(step_functions, execution_arn)))
    for step in done:
        if step.map_run:
            step.items = dict(step_functions.describe_map_run(mapRunArn=step.map_run)["itemCounts"])
    machine = step_functions.describe_state_machine_for_execution(executionArn=execution_arn)
    return Execution(
        name=found["name"],
        execution_arn=execution_arn,
        state_machine_arn=found["stateMachineArn"],
        status=found["status"],
        started=found["startDate"],
        stopped=found.get("stopDate"),
        error=found.get("error"),
        cause=found.get("cause"),
        definition=json.loads(machine["definition"]),
        steps=done,
    )
