"""Starts executions of the inference workflow, waits for them, and says what came of each image."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from workflows import ClientFactory

WAIT_SECONDS = 1000  # more than the tasks take with all their attempts; a person takes longer
REVIEW_STATE = "WaitForReview"
ANSWERS = ("ThresholdNotMet", "ReviewRejected")  # executions that fail with these have one all the same
POLL_SECONDS = (0.05, 2.0)  # between two looks at what still runs: at first, and at most


class WorkflowTimeoutError(Exception):
    """Executions that still run after the time that the caller gives them."""


@dataclass(frozen=True)
class Started:
    """An execution for one image."""

    s3_key: str
    execution_arn: str


@dataclass(frozen=True)
class InferenceResult:
    """What came of one image.

    Attributes:
        status: the execution's, as Step Functions says it: SUCCEEDED, FAILED, TIMED_OUT or ABORTED.
        predicted: the most probable class, where the workflow came as far as probabilities.
        confidence: its probability, in [0, 1].
        outcome: the state that the execution ended in, for example ImageClassified or ThresholdNotMet;
            the error's name for a failure that no state stands for; the status otherwise.
    """

    s3_key: str
    status: str
    predicted: str | None
    confidence: float | None
    outcome: str

    @property
    def failed(self) -> bool:
        """Ended without an answer; that the model is not sure, or that a person refused it, is one."""
        return self.status in ("FAILED", "TIMED_OUT", "ABORTED") and self.outcome not in ANSWERS

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ExecutionSummary:
    """A line in the list of executions."""

    name: str
    execution_arn: str
    status: str
    started: datetime
    stopped: datetime | None


def start(
    client: ClientFactory,
    state_machine_arn: str,
    bucket: str,
    keys: Iterable[str],
    threshold: float | None = None,
) -> list[Started]:
    """Starts an execution for each key; `threshold` overrides the deployed one, within its bounds."""
    step_functions = client("stepfunctions")
    started = []
    for key in keys:
        event: dict[str, Any] = {"image_data": "", "s3_bucket": bucket, "s3_key": key}
        if threshold is not None:
            event["threshold"] = threshold
        answer = step_functions.start_execution(
            stateMachineArn=state_machine_arn, name=execution_name(key), input=json.dumps(event)
        )
        started.append(Started(key, answer["executionArn"]))
    return started


def execution_name(key: str) -> str:
    """A name that says which image it is for and that no other execution has; at most 80 characters."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", PurePosixPath(key).stem).strip("-")[:60]
    return f"{stem or 'image'}-{uuid.uuid4().hex[:16]}"


def wait(
    client: ClientFactory,
    started: Sequence[Started],
    classes: Sequence[str],
    *,
    timeout: float = WAIT_SECONDS,
    review: bool = False,
    on_result: Callable[[InferenceResult], None] | None = None,
) -> list[InferenceResult]:
    """The results in the order of `started`; `on_result` hears of each as it ends.

    Args:
        classes: in the order of the endpoint's probabilities.
        timeout: seconds for all of them.
        review: take an execution that waits for a person as a result too, with the outcome WaitForReview.

    Raises:
        WorkflowTimeoutError: naming how many still run.
    """
    step_functions = client("stepfunctions")
    results: dict[str, InferenceResult] = {}
    deadline = time.monotonic() + timeout
    pause, longest = POLL_SECONDS
    while True:
        for execution in started:
            if execution.execution_arn in results:
                continue
            result = _ended(step_functions, execution, classes, review)
            if result:
                results[execution.execution_arn] = result
                if on_result:
                    on_result(result)
        if len(results) == len(started):
            return [results[execution.execution_arn] for execution in started]
        if time.monotonic() > deadline:
            running = len(started) - len(results)
            raise WorkflowTimeoutError(
                f"{running} of {len(started)} executions still run after {timeout:g} s."
            )
        time.sleep(pause)
        pause = min(pause * 1.5, longest)


def _ended(
    step_functions: Any, execution: Started, classes: Sequence[str], review: bool
) -> InferenceResult | None:
    found = step_functions.describe_execution(executionArn=execution.execution_arn)
    if found["status"] != "RUNNING":
        return _result(step_functions, execution, found, classes)
    if review and _waits(step_functions, execution):
        return InferenceResult(execution.s3_key, "RUNNING", None, None, REVIEW_STATE)
    return None


def run(
    client: ClientFactory,
    state_machine_arn: str,
    bucket: str,
    keys: Iterable[str],
    classes: Sequence[str],
    *,
    threshold: float | None = None,
    timeout: float = WAIT_SECONDS,
    review: bool = False,
    on_result: Callable[[InferenceResult], None] | None = None,
) -> list[InferenceResult]:
    """`start`, then `wait`."""
    started = start(client, state_machine_arn, bucket, keys, threshold)
    return wait(client, started, classes, timeout=timeout, review=review, on_result=on_result)


def list_executions(
    client: ClientFactory, state_machine_arn: str, *, status: str | None = None, limit: int = 50
) -> list[ExecutionSummary]:
    """The newest executions first."""
    arguments: dict[str, Any] = {"stateMachineArn": state_machine_arn}
    if status:
        arguments["statusFilter"] = status
    pages = (
        client("stepfunctions")
        .get_paginator("list_executions")
        .paginate(**arguments, PaginationConfig={"MaxItems": limit})
    )
    return [
        ExecutionSummary(
            name=item["name"],
            execution_arn=item["executionArn"],
            status=item["status"],
            started=item["startDate"],
            stopped=item.get("stopDate"),
        )
        for page in pages
        for item in page["executions"]
    ]


def _result(
    step_functions: Any, execution: Started, found: dict[str, Any], classes: Sequence[str]
) -> InferenceResult:
    status = found["status"]
    if status == "SUCCEEDED":
        event = json.loads(found["output"])
        decided = event.get("review")
        if decided:  # a person's word has no probability
            return InferenceResult(execution.s3_key, status, decided["label"], None, "ImageReviewed")
        outcome = "ImageClassified"
    elif status == "FAILED":
        state, event = _failure(step_functions, execution.execution_arn)
        outcome = state or found.get("error") or status
    else:
        outcome, event = status, {}
    predicted, confidence = _highest(event.get("inferences") or [], classes)
    return InferenceResult(execution.s3_key, status, predicted, confidence, outcome)


def _waits(step_functions: Any, execution: Started) -> bool:
    """Whether a person has been asked: the last that happened is that the question was sent."""
    events = step_functions.get_execution_history(
        executionArn=execution.execution_arn, reverseOrder=True, maxResults=1, includeExecutionData=False
    )["events"]
    return bool(events) and bool(events[0]["type"] == "TaskSubmitted")


def _failure(step_functions: Any, execution_arn: str) -> tuple[str | None, dict[str, Any]]:
    """The Fail state that the execution ended in and its input; nothing when it ended in no Fail state."""
    events = step_functions.get_execution_history(
        executionArn=execution_arn, reverseOrder=True, maxResults=10, includeExecutionData=True
    )["events"]
    for event in events:
        if event["type"] == "FailStateEntered":
            details = event["stateEnteredEventDetails"]
            return details["name"], json.loads(details["input"])
    return None, {}


def _highest(inferences: list[float], classes: Sequence[str]) -> tuple[str | None, float | None]:
    if not inferences:
        return None, None
    confidence = max(inferences)
    index = inferences.index(confidence)
    return (classes[index] if index < len(classes) else f"class {index}"), confidence
