"""Ties moto's Step Functions to the execution store: what is started and what ends is written down, and what
an earlier process wrote is there again, listed, described and with its history, by moto's own operations.

A finished execution keeps its course in the store only, not in memory.
"""

from __future__ import annotations

import copy
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from localaws.step_functions import answers
from localaws.step_functions.execution_store import RUNNING, Course, ExecutionStore, Record

log = logging.getLogger(__name__)

_CUT_OFF_ERROR = "LocalAws.Stopped"
_CUT_OFF_CAUSE = "The local AWS was stopped or killed while this execution was running."
_LAST_EVENTS = {"TIMED_OUT": "ExecutionTimedOut", "ABORTED": "ExecutionAborted"}
_ENDING_FIELDS = ("exec_status", "stop_date", "output", "error", "cause")


class Executions:
    """Takes hold of moto's Step Functions once they are imported and the journal is replayed.

    Not before the replay: state machines that it deletes again must not take the executions of later ones of
    the same name with them. The import takes its time, and is left to the first request that needs it.
    """

    def __init__(self, store: ExecutionStore) -> None:
        self._store = store
        self._is_imported = self._is_replayed = self._is_installed = False

    def imported(self) -> None:
        """Called when moto's Step Functions were imported."""
        self._is_imported = True
        self._install()

    def replayed(self) -> None:
        """Called when the journal was replayed."""
        self._is_replayed = True
        self._install()

    def close(self) -> None:
        """Keeps the course so far of what still runs, which the next start marks as aborted."""
        for execution in _all_executions() if self._is_installed else ():
            worker = execution.exec_worker
            if execution.exec_status == RUNNING and worker is not None and worker.env is not None:
                self._store.put(_record(execution), _course(worker.env))
        self._store.close()

    def _install(self) -> None:
        if not (self._is_imported and self._is_replayed) or self._is_installed:
            return
        from moto.stepfunctions.parser.backend import execution as module
        from moto.stepfunctions.parser.models import StepFunctionsParserBackend

        self._is_installed = True
        answers.install()
        _restore(self._store)
        _write_down_starts(self._store, module.Execution)
        _write_down_ends(self._store, module.BaseExecutionWorkerCommunication)
        _forget_with_machines(self._store, StepFunctionsParserBackend)
        _skip_starting(StepFunctionsParserBackend)


def _write_down_starts(store: ExecutionStore, cls: Any) -> None:
    start = cls.start

    def written_start(self: Any) -> None:
        store.put(_record(self))
        start(self)

    cls.start = written_start


def _write_down_ends(store: ExecutionStore, cls: Any) -> None:
    reflect: Callable[[Any], None] = cls._reflect_execution_status
    lock = threading.Lock()

    def written_end(self: Any) -> None:
        """Whoever sees that the execution has ended must find it so after a kill: write first, then show."""
        with lock:
            # A stop ends it at once; its thread comes here too, once its present task lets it.
            if not isinstance(self.execution.exec_worker, _Finished):
                write(self, self.execution)

    def write(self: Any, execution: Any) -> None:
        ended = copy.copy(execution)
        reflect(type(self)(ended))
        state = execution.exec_worker.env.program_state()
        for name in ("error", "cause"):  # moto leaves out what a stop was called with
            if getattr(ended, name) is None and isinstance(getattr(state, name, None), str):
                setattr(ended, name, getattr(state, name))
        worker = execution.exec_worker
        store.put(_record(ended), _course(worker.env, ended))
        for name in _ENDING_FIELDS:
            setattr(execution, name, getattr(ended, name))
        execution.exec_worker = _Finished(store, execution.exec_arn)

    cls._reflect_execution_status = written_end


def _forget_with_machines(store: ExecutionStore, cls: Any) -> None:
    delete = cls.delete_state_machine

    def forgetting_delete(self: Any, arn: str) -> None:
        delete(self, arn)
        store.forget(arn)

    cls.delete_state_machine = forgetting_delete


def _skip_starting(cls: Any) -> None:
    """An execution whose thread is about to start has no environment yet, which breaks SendTaskSuccess."""
    get = cls._get_executions

    def with_environment(self: Any, execution_status: Any = None) -> list[Any]:
        return [
            execution for execution in get(self, execution_status) if execution.exec_worker.env is not None
        ]

    cls._get_executions = with_environment


def _restore(store: ExecutionStore) -> None:
    for record in store.records():
        machine = _machine(record)
        if machine is None:
            continue
        if record.status == RUNNING:
            record = _cut_off(store, record)
        machine.executions.append(_execution(store, record, machine))


def _cut_off(store: ExecutionStore, record: Record) -> Record:
    now = time.time()
    course = store.course(record.arn)
    events = course.events or [_started_event(record)]
    details = {"error": _CUT_OFF_ERROR, "cause": _CUT_OFF_CAUSE}
    events = [*events, _event(len(events) + 1, 0, "ExecutionAborted", now, executionAborted=details)]
    ended = replace(record, status="ABORTED", stopped=now, error=_CUT_OFF_ERROR, cause=_CUT_OFF_CAUSE)
    store.put(ended, Course(events, course.map_runs))
    return ended


def _started_event(record: Record) -> dict[str, Any]:
    details = {"input": record.input, "inputDetails": {"truncated": False}, "roleArn": record.role}
    return _event(1, 0, "ExecutionStarted", record.started, executionStarted=details)


def _event(number: int, previous: int, kind: str, moment: float, **details: dict[str, Any]) -> dict[str, Any]:
    named = {f"{name}EventDetails": value for name, value in details.items()}
    timestamp = datetime.fromtimestamp(moment, UTC)
    return {"id": number, "previousEventId": previous, "type": kind, "timestamp": timestamp, **named}


def _machine(record: Record) -> Any:
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    _, _, _, region, account, *_ = record.arn.split(":")
    machines = stepfunctions_parser_backends[account][region].state_machines
    return next(
        (m for m in machines if record.machine in (m.arn, *(v.arn for v in m.versions.values()))), None
    )


def _execution(store: ExecutionStore, record: Record, machine: Any) -> Any:
    from moto.stepfunctions.parser.api import ExecutionStatus
    from moto.stepfunctions.parser.backend.execution import Execution

    _, _, _, region, account, *_ = record.arn.split(":")
    execution = Execution(
        name=record.name,
        sm_type=record.kind,
        role_arn=record.role,
        exec_arn=record.arn,
        account_id=account,
        region_name=region,
        state_machine=machine,
        start_date=datetime.fromtimestamp(record.started, UTC),
        cloud_watch_logging_session=None,
        activity_store={},
        input_data=record.input,
    )
    execution.exec_status = ExecutionStatus(record.status)
    execution.stop_date = record.stopped and datetime.fromtimestamp(record.stopped, UTC)
    execution.output = None if record.output is None else json.loads(record.output)
    execution.error, execution.cause = record.error, record.cause
    execution.exec_worker = _Finished(store, record.arn)
    return execution


def _record(execution: Any) -> Record:
    status = execution.exec_status.value if execution.exec_status else RUNNING
    return Record(
        arn=execution.exec_arn,
        name=execution.name,
        machine=execution.state_machine_arn,
        kind=str(execution.sm_type),
        role=execution.role_arn,
        input=execution.execution_input,
        started=execution.start_date.timestamp(),
        status=status,
        stopped=execution.stop_date and execution.stop_date.timestamp(),
        output=json.dumps(execution.output) if status == "SUCCEEDED" else None,
        error=execution.error,
        cause=execution.cause,
    )


def _course(env: Any, ended: Any = None) -> Course:
    events = env.event_manager.get_event_history()
    kind = None if ended is None else _LAST_EVENTS.get(ended.exec_status.value)
    if kind and not any(event["type"] == kind for event in events):
        # The interpreter's thread adds it once its present task lets it, which may be never.
        told = {"error": ended.error, "cause": ended.cause}
        details = {key: value for key, value in told.items() if value is not None}
        name = kind[0].lower() + kind[1:]
        events.append(_event(len(events) + 1, 0, kind, ended.stop_date.timestamp(), **{name: details}))
    runs = env.map_run_record_pool_manager.get_all()
    return Course(events, [{"described": dict(r.describe()), "listed": dict(r.list_item())} for r in runs])


def _all_executions() -> list[Any]:
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    return [
        execution
        for account in stepfunctions_parser_backends.values()
        for backend in account.values()
        for machine in backend.state_machines
        for execution in machine.executions
    ]


class _Finished:
    """Stands where moto has an execution's worker: its history and map runs come from the store."""

    def __init__(self, store: ExecutionStore, arn: str) -> None:
        self._store = store
        self._arn = arn

    @property
    def env(self) -> _Finished:
        return self

    event_manager = callback_pool_manager = map_run_record_pool_manager = env

    def get_event_history(self) -> list[dict[str, Any]]:
        return self._store.course(self._arn).events

    def notify(self, **_: Any) -> bool:
        return False  # no task of a finished execution waits for its token

    heartbeat = notify

    def get(self, arn: str) -> _MapRun | None:
        return next((run for run in self.get_all() if run.arn == arn), None)

    def get_all(self) -> list[_MapRun]:
        return [_MapRun(run) for run in self._store.course(self._arn).map_runs]

    def stop(self, **_: Any) -> None:
        """It has ended already."""


class _MapRun:
    """A map run of a finished execution."""

    def __init__(self, run: dict[str, dict[str, Any]]) -> None:
        self._run = run
        self.arn = run["described"]["mapRunArn"]

    def describe(self) -> dict[str, Any]:
        return self._run["described"]

    def list_item(self) -> dict[str, Any]:
        return self._run["listed"]

    def update(self, **_: Any) -> None:
        """It has ended already."""
