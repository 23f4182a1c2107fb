"""What moto's Step Functions leaves out of its answers, put in: causes, stop dates, pages of a history."""

from __future__ import annotations

import base64
import time
from typing import Any

from localaws.errors import AwsError
from localaws.step_functions import map_runs, sdk_tasks, task_tokens

_PAGE = 100
_LARGEST_PAGE = 1000
_STARTING_SECONDS = 5.0
_DATA = {"input", "output", "inputDetails", "outputDetails"}


def install() -> None:
    """Replaces operations of moto's. Once, after its Step Functions were imported."""
    from moto.stepfunctions.responses import StepFunctionResponse

    for name in ("describe_execution", "list_executions"):
        setattr(StepFunctionResponse, name, _with_stop_dates(getattr(StepFunctionResponse, name)))
    StepFunctionResponse.get_execution_history = _in_pages(StepFunctionResponse.get_execution_history)
    StepFunctionResponse.stop_execution = _stop_execution
    StepFunctionResponse.send_task_failure = _send_task_failure
    task_tokens.install()
    sdk_tasks.install()
    map_runs.install()


def _with_stop_dates(operation: Any) -> Any:
    """moto forgets the stop date of executions that timed out."""

    def complete(self: Any) -> Any:
        answer = operation(self)
        for item in answer.result.get("executions", [answer.result]):
            if item["status"] == "TIMED_OUT":
                arn = item["executionArn"]
                item["stopDate"] = self.stepfunction_backend.describe_execution(arn).stop_date
        return answer

    return complete


def _in_pages(operation: Any) -> Any:
    """moto answers the whole history, whatever was asked for."""

    def paged(self: Any) -> Any:
        answer = operation(self)
        events = list(answer.result["events"])
        if self._get_bool_param("reverseOrder"):
            events.reverse()
        if self._get_bool_param("includeExecutionData", True) is False:
            events = [_without_data(event) for event in events]
        start = _offset(self._get_param("nextToken"))
        end = start + min(self._get_int_param("maxResults") or _PAGE, _LARGEST_PAGE)
        answer.result["events"] = events[start:end]
        if end < len(events):
            answer.result["nextToken"] = base64.urlsafe_b64encode(str(end).encode()).decode()
        return answer

    return paged


def _without_data(event: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {key: item for key, item in value.items() if key not in _DATA}
        if isinstance(value, dict)
        else value
        for name, value in event.items()
    }


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token))
    except ValueError:
        raise AwsError("InvalidToken", f"Invalid Token: '{token}'") from None


def _stop_execution(self: Any) -> Any:
    """moto drops the error and the cause, waits for the task that runs, and fails on an execution whose
    thread is about to start.
    """
    from moto.core.responses import ActionResult
    from moto.core.utils import utcnow

    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    until = time.monotonic() + _STARTING_SECONDS
    worker = execution.exec_worker
    while worker.env is None and time.monotonic() < until:
        time.sleep(0.005)
    now = utcnow()
    if execution.status == "RUNNING":
        execution.stop(stop_date=now, error=self._get_param("error"), cause=self._get_param("cause"))
        worker._execution_communication.terminated()
    return ActionResult({"stopDate": execution.stop_date or now})


def _send_task_failure(self: Any) -> Any:
    """moto drops the cause."""
    from moto.core.responses import EmptyResult

    self.stepfunction_backend.send_task_failure(
        self._get_param("taskToken"), error=self._get_param("error"), cause=self._get_param("cause")
    )
    return EmptyResult()
