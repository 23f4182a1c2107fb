"""Histories as Step Functions tells them, read as steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from workflows.history import Step, events, steps

START = datetime(2026, 1, 1, tzinfo=UTC)


def history(*told: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Events of a second each: a type, the event before (the previous one if None), and details."""
    made = []
    for number, (kind, before, *details) in enumerate(told, start=1):
        event: dict[str, Any] = {
            "id": number,
            "previousEventId": number - 1 if before is None else before,
            "type": kind,
            "timestamp": START + timedelta(seconds=number),
        }
        if details:
            member = kind
            for word in ("StateEntered", "StateExited"):
                member = word if kind.endswith(word) else member
            event[f"{member[0].lower()}{member[1:]}EventDetails"] = details[0]
        made.append(event)
    return made


def task(name: str, *between: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return [
        ("TaskStateEntered", None, {"name": name}),
        *between,
        ("TaskStateExited", None, {"name": name}),
    ]


TRY = ("TaskScheduled", None, {"resource": "invoke"})
BUSY = ("TaskFailed", None, {"error": "Busy", "cause": '{"errorMessage": "come again", "errorType": "Busy"}'})
DONE = ("TaskSucceeded", None)


def told(step: Step) -> tuple[Any, ...]:
    return step.name, step.status, step.retries, step.error


def test_a_retry_counts_and_its_error_is_kept() -> None:
    (step,) = steps(history(("ExecutionStarted", 0), *task("Ask", TRY, BUSY, TRY, BUSY, TRY, DONE)))
    assert told(step) == ("Ask", "Succeeded", 2, "Busy")
    assert step.message == "come again"
    assert step.seconds == 7
    assert step.origin is None


def test_a_caught_error_leads_on() -> None:
    caught, after = steps(
        history(
            ("ExecutionStarted", 0),
            *task("Ask", TRY, BUSY),
            ("FailStateEntered", None, {"name": "Sorry"}),
            ("ExecutionFailed", None, {"error": "Sorry", "cause": "no answer"}),
        )
    )
    assert told(caught) == ("Ask", "Caught", 0, "Busy")
    assert told(after) == ("Sorry", "Failed", 0, "Sorry")
    assert (after.origin, after.message) == ("Ask", "no answer")


@pytest.mark.parametrize(
    ("end", "status"),
    [("ExecutionTimedOut", "TimedOut"), ("ExecutionAborted", "Aborted"), ("ExecutionFailed", "Failed")],
)
def test_the_execution_s_end_is_that_of_what_is_open(end: str, status: str) -> None:
    (step,) = steps(
        history(("ExecutionStarted", 0), ("TaskStateEntered", None, {"name": "Ask"}), TRY, (end, None, {}))
    )
    assert step.status == status
    assert step.ended == START + timedelta(seconds=4)


def test_a_running_step_has_no_end_and_one_with_a_token_waits() -> None:
    entered = ("TaskStateEntered", None, {"name": "Ask"})
    token = "sendMessage.waitForTaskToken"
    scheduled = ("TaskScheduled", None, {"resource": token})
    submitted = ("TaskSubmitted", None, {"resource": token})
    (running,) = steps(history(("ExecutionStarted", 0), entered, scheduled))
    (waiting,) = steps(history(("ExecutionStarted", 0), entered, scheduled, submitted))
    assert (running.status, running.ended) == ("Running", None)
    assert (waiting.status, waiting.ended) == ("Waiting", None)


def test_a_branch_that_fails_aborts_the_other() -> None:
    found = steps(
        history(
            ("ExecutionStarted", 0),
            ("ParallelStateEntered", 1, {"name": "Both"}),
            ("ParallelStateStarted", 2),
            ("TaskStateEntered", 3, {"name": "Slow"}),
            ("TaskScheduled", 4, {"resource": "invoke"}),
            ("TaskStateEntered", 3, {"name": "Bad"}),
            ("TaskScheduled", 6, {"resource": "invoke"}),
            ("TaskFailed", 7, {"error": "Broken", "cause": "x"}),
            ("ParallelStateFailed", 8),
            ("ExecutionFailed", 9, {"error": "Broken", "cause": "x"}),
        )
    )
    assert {step.name: (step.status, step.error, step.depth) for step in found} == {
        "Both": ("Failed", "Broken", 0),
        "Slow": ("Aborted", None, 1),
        "Bad": ("Failed", "Broken", 1),
    }


def test_iterations_side_by_side_are_told_apart() -> None:
    found = steps(
        history(
            ("ExecutionStarted", 0),
            ("MapStateEntered", 1, {"name": "Each"}),
            ("MapStateStarted", 2, {"length": 2}),
            ("MapIterationStarted", 3, {"name": "Each", "index": 0}),
            ("MapIterationStarted", 3, {"name": "Each", "index": 1}),
            ("PassStateEntered", 4, {"name": "Item"}),
            ("PassStateEntered", 5, {"name": "Item"}),
            ("PassStateExited", 7, {"name": "Item"}),
            ("PassStateEntered", 8, {"name": "Next"}),
            ("PassStateExited", 9, {"name": "Next"}),
            ("MapIterationSucceeded", 10, {"name": "Each", "index": 1}),
            ("PassStateExited", 6, {"name": "Item"}),
            ("MapIterationSucceeded", 12, {"name": "Each", "index": 0}),
            ("MapStateSucceeded", 13),
            ("MapStateExited", 14, {"name": "Each"}),
            ("SucceedStateEntered", 15, {"name": "End"}),
            ("SucceedStateExited", 16, {"name": "End"}),
            ("ExecutionSucceeded", 17),
        )
    )
    assert [(step.name, step.iteration, step.depth, step.status, step.origin) for step in found] == [
        ("Each", None, 0, "Succeeded", None),
        ("Item", 0, 1, "Succeeded", None),
        ("Item", 1, 1, "Succeeded", None),
        ("Next", 1, 1, "Succeeded", "Item"),
        ("End", None, 0, "Succeeded", "Each"),
    ]


def test_a_redrive_goes_on_where_it_failed() -> None:
    (step,) = steps(
        history(
            ("ExecutionStarted", 0),
            ("TaskStateEntered", None, {"name": "Ask"}),
            TRY,
            BUSY,
            ("ExecutionFailed", None, {"error": "Busy"}),
            ("ExecutionRedriven", None, {"redriveCount": 1}),
            TRY,
            DONE,
            ("TaskStateExited", None, {"name": "Ask"}),
        )
    )
    assert told(step) == ("Ask", "Succeeded", 1, "Busy")


def test_all_pages_are_read() -> None:
    client = boto3.client(
        "stepfunctions", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="a"
    )
    told = history(("ExecutionStarted", 0), *task("Ask", TRY, DONE))
    pages = [told[:2], told[2:4], told[4:]]
    stub = Stubber(client)
    for number, page in enumerate(pages):
        answer: dict[str, Any] = {"events": page}
        request = {"executionArn": "arn:aws:states:us-east-1:1:execution:a:b", "includeExecutionData": False}
        if number:
            request["nextToken"] = f"page-{number}"
        if number < 2:
            answer["nextToken"] = f"page-{number + 1}"
        stub.add_response("get_execution_history", _complete(answer), request)
    with stub:
        (step,) = steps(events(client, "arn:aws:states:us-east-1:1:execution:a:b"))
    assert (step.name, step.status) == ("Ask", "Succeeded")


def _complete(answer: dict[str, Any]) -> dict[str, Any]:
    """With what the API requires of a scheduled task beside what `history` says."""
    for event in answer["events"]:
        for key, details in event.items():
            if key == "taskScheduledEventDetails":
                details |= {"resourceType": "lambda", "region": "us-east-1", "parameters": "{}"}
    return answer
