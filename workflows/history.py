"""What happened in an execution of a state machine, state by state, from GetExecutionHistory's events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# An event's type begins with that of what it is about.
_SCHEDULED = ("TaskScheduled", "LambdaFunctionScheduled", "ActivityScheduled")
_STARTED = ("MapStateStarted", "ParallelStateStarted")
_NESTING = ("Map", "Parallel")
_ENDS = {
    "ExecutionFailed": "Failed",
    "ExecutionTimedOut": "TimedOut",
    "ExecutionAborted": "Aborted",
    "ExecutionSucceeded": "Aborted",  # what is still open then ran beside what succeeded
}


@dataclass
class Step:
    """One visit of a state. Filled while the events are read, and not changed after that.

    Attributes:
        type: the state's: Task, Pass, Choice, Wait, Succeed, Fail, Map or Parallel.
        status: Succeeded, Caught (it failed and a Catch went on), Running, Waiting (for a task token),
            Failed, TimedOut or Aborted.
        retries: how many attempts came after the first.
        error, cause: of the last attempt that failed, also where a later one succeeded.
        depth: how many Map and Parallel states it is inside of.
        iteration: its index in the innermost Map; None outside of one.
        origin: the state that the execution came from; None where it began.
        map_run: the ARN of a distributed map's run, whose own executions hold what its states did.
        items: of a distributed map: how many items there are of each status, as DescribeMapRun has it.
    """

    name: str
    type: str
    entered: datetime
    status: str = "Running"
    ended: datetime | None = None
    retries: int = 0
    error: str | None = None
    cause: str | None = None
    depth: int = 0
    iteration: int | None = None
    origin: str | None = None
    map_run: str | None = None
    items: dict[str, int] | None = None
    parent: Step | None = field(default=None, repr=False)
    attempts: int = field(default=0, repr=False)
    failing: bool = field(default=False, repr=False)

    @property
    def seconds(self) -> float:
        """How long it took, or has taken until now."""
        end = self.ended or datetime.now(self.entered.tzinfo)
        return max(0.0, (end - self.entered).total_seconds())

    @property
    def message(self) -> str | None:
        """The cause for a person: a function's is JSON, of which this is the `errorMessage`."""
        try:
            told = json.loads(self.cause or "")
        except ValueError:
            return self.cause
        return str(told.get("errorMessage", self.cause)) if isinstance(told, dict) else self.cause

    def as_dict(self) -> dict[str, Any]:
        """What a person or a script may want to know."""
        return {
            "state": self.name,
            "type": self.type,
            "status": self.status,
            "entered": self.entered,
            "ended": self.ended,
            "seconds": round(self.seconds, 3),
            "retries": self.retries,
            "error": self.error,
            "cause": self.cause,
            "depth": self.depth,
            "iteration": self.iteration,
            "from": self.origin,
            "map_run": self.map_run,
            "items": self.items,
        }


def events(step_functions: Any, execution_arn: str) -> Iterable[dict[str, Any]]:
    """All events, the oldest first, without the states' input and output."""
    pages = step_functions.get_paginator("get_execution_history").paginate(
        executionArn=execution_arn, includeExecutionData=False
    )
    return (event for page in pages for event in page["events"])


def steps(history: Iterable[dict[str, Any]]) -> list[Step]:
    """The visits of states, in the order of being entered; of a running execution too."""
    reading = _Reading()
    for event in history:
        reading.read(event)
    return reading.steps


class _Reading:
    """Follows `previousEventId`: branches and iterations run side by side, their events mixed."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._of: dict[int, Step | None] = {0: None}
        self._kinds: dict[int, str] = {}
        self._iterations: dict[int, int] = {}

    def read(self, event: dict[str, Any]) -> None:
        kind, previous = event["type"], event.get("previousEventId", 0)
        before = self._of.get(previous)
        self._kinds[event["id"]] = kind
        details = _details(event)
        step: Step | None
        if kind.endswith("StateEntered"):
            step = self._enter(event, before, details)
        elif kind in _ENDS:
            step = before
            self._end(kind, before, event["timestamp"], details)
        else:
            step = self._about(kind, before, details)
            if step is not None:
                if kind.startswith(_NESTING) and kind.endswith(("Failed", "Aborted")):
                    self._end_inside(kind, step, before, event["timestamp"])
                self._note(kind, step, event, details)
        self._of[event["id"]] = step
        if kind == "MapIterationStarted":
            self._iterations[event["id"]] = details.get("index", 0)

    def _enter(self, event: dict[str, Any], before: Step | None, details: dict[str, Any]) -> Step:
        previous = event.get("previousEventId", 0)
        nested = before is not None and self._kinds.get(previous, "").endswith("Started")
        parent = before if nested else before.parent if before else None
        step = Step(
            name=details["name"],
            type=event["type"].removesuffix("StateEntered"),
            entered=event["timestamp"],
            depth=parent.depth + 1 if parent else 0,
            iteration=self._iterations.get(previous) if nested else before.iteration if before else None,
            origin=before.name if before and not nested else None,
            parent=parent,
        )
        if before and not nested and before.status == "Running" and before.failing:  # no exit was told
            before.status, before.ended = "Caught", event["timestamp"]
        self.steps.append(step)
        return step

    def _about(self, kind: str, before: Step | None, details: dict[str, Any]) -> Step | None:
        """The step it is about: what ends a Map or Parallel follows on an event of a state inside."""
        step = before
        if kind.endswith("StateExited"):
            while step is not None and step.name != details["name"]:
                step = step.parent
        elif kind.startswith(_NESTING):
            wanted = "Parallel" if kind.startswith("Parallel") else "Map"
            while step is not None and (step.type != wanted or step.ended is not None):
                step = step.parent
        return step

    def _note(self, kind: str, step: Step, event: dict[str, Any], details: dict[str, Any]) -> None:
        if kind.endswith("StateExited"):
            step.ended = event["timestamp"]
            step.status = "Caught" if step.failing else "Succeeded"
        elif kind in _SCHEDULED or kind in _STARTED:
            step.attempts += 1
            step.retries = step.attempts - 1
            step.status, step.failing, step.ended = (
                "Running",
                False,
                None,
            )  # a redrive goes on with an ended one
        elif kind == "TaskSubmitted":
            if str(details.get("resource", "")).endswith(".waitForTaskToken"):
                step.status = "Waiting"
        elif kind.startswith("MapIteration"):
            return
        elif kind == "MapRunStarted":
            step.map_run = details.get("mapRunArn")
        elif kind.endswith(("Failed", "TimedOut")):
            step.failing, step.status = True, "Running"
            step.error, step.cause = details.get("error", step.error), details.get("cause", step.cause)
        elif kind.endswith("Aborted"):
            step.status, step.ended = "Aborted", event["timestamp"]
        elif kind.endswith("Succeeded"):
            step.failing, step.status = False, "Running"

    def _end_inside(self, kind: str, nesting: Step, last: Step | None, when: datetime) -> None:
        """Ends what is open in a Map or Parallel that failed: the state that failed it, and those beside it.

        The nesting state's own event has no error: it is that of the state inside, as far as it has one.
        """
        while last is not None and last is not nesting:
            if last.ended is None:
                last.ended, last.status = when, "Failed" if kind.endswith("Failed") else "Aborted"
            nesting.error, nesting.cause = last.error or nesting.error, last.cause or nesting.cause
            last = last.parent
        if kind.startswith("MapIteration"):
            return
        for step in self.steps:
            if step.ended is None and step is not nesting and _is_inside(step, nesting):
                step.ended, step.status = when, "Aborted"

    def _end(self, kind: str, last: Step | None, when: datetime, details: dict[str, Any]) -> None:
        """Ends what is still open: the state that failed the execution, and what ran beside it."""
        failed = set()
        while kind == "ExecutionFailed" and last is not None:
            failed.add(id(last))
            last = last.parent
        for step in self.steps:
            if step.ended is not None:
                continue
            step.ended, step.status = when, _ENDS[kind]
            if kind == "ExecutionFailed" and id(step) not in failed and not step.failing:
                step.status = "Aborted"
            elif kind != "ExecutionSucceeded" and step.error is None:
                step.error, step.cause = details.get("error"), details.get("cause")


def _is_inside(step: Step, nesting: Step) -> bool:
    parent = step.parent
    while parent is not None and parent is not nesting:
        parent = parent.parent
    return parent is nesting


def _details(event: dict[str, Any]) -> dict[str, Any]:
    """The one member that tells more; a MapIteration's and a state's have different names in each type."""
    return next((value for key, value in event.items() if key.endswith("EventDetails")), {})
