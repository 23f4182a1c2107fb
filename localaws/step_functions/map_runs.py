"""Distributed maps as Step Functions runs them: moto's interpreter tolerates any number of failures, counts
children only once they run, writes no results, and goes one call deeper with each item.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from localaws.step_functions import map_results

# A child waits for tasks most of the time; more threads than this only wait for each other.
MAX_PARALLEL = 64
_EXCEEDED = "The specified tolerated failure threshold was exceeded"


@dataclass
class Child:
    """An execution of the map's processor for one item, RUNNING until it has ended; PENDING before.

    Attributes:
        item: what the map reads, and `input` what the child gets: the same without an ItemSelector.
    """

    item: Any
    name: str
    status: str = "PENDING"
    input: Any = None
    output: Any = None
    error: str | None = None
    cause: str | None = None
    started: datetime | None = None
    stopped: datetime | None = None


def install() -> None:
    """Once, after moto's Step Functions were imported."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.item_reader_decl import (
        ItemReader,
    )
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import (
        distributed_iteration_component as module,
    )
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.state_map import StateMap
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

    module.DistributedIterationComponent._map_run = _map_run
    ItemReader._eval_body = failing_as("StatesItemReaderFailed", ItemReader._eval_body)
    StateMap._eval_execution = _writing_results_of_failures(StateMap._eval_execution)
    StepFunctionsParserBackend.describe_map_run = _describe_map_run
    map_results.install()


def _map_run(self: Any, env: Any, eval_input: Any) -> None:
    """Runs the children, until all have ended or too many have failed; leaves their outputs on the stack."""
    items = env.stack.pop()
    run = _Run(env, eval_input, self._get_iteration_program(), items)
    eval_input.map_run_record.children = run.children
    run.run()
    env.stack.append([child.output for child in run.children])


class _Run:
    def __init__(self, env: Any, eval_input: Any, program: Any, items: list[Any]) -> None:
        self.children = [Child(item, str(uuid.uuid4())) for item in items]
        self._env = env
        self._program = program
        self._record = eval_input.map_run_record
        self._selector = eval_input.item_selector or eval_input.parameters
        self._input = env.states.get_input()
        self._places = iter(range(len(items)))
        self._lock = threading.Lock()
        self._failures = 0
        self._fault: Exception | None = None
        for counter in self._counters():
            counter.total.count(len(items))
            counter.pending.count(len(items))

    def run(self) -> None:
        parallel = min(self._record.max_concurrency or MAX_PARALLEL, MAX_PARALLEL, len(self.children))
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(parallel)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._fault is not None:
            raise self._fault
        if self._too_many():
            raise _failure(self._env, "StatesExceedToleratedFailureThreshold", _EXCEEDED)

    def _work(self) -> None:
        while (place := self._next()) is not None:
            child = self.children[place]
            try:
                self._count(child, "running")
                self._evaluate(place, child)
            except Exception as fault:  # noqa: BLE001 - ends the map run, in whose thread it is raised again
                self._fault = fault
                child.status = "FAILED"
            with self._lock:
                self._failures += child.status != "SUCCEEDED"
            self._count(child, _COUNTERS[child.status], left="running")

    def _next(self) -> int | None:
        with self._lock:
            if self._fault or self._too_many() or not self._env.is_running():
                return None
            return next(self._places, None)

    def _too_many(self) -> bool:
        """A threshold of 0 is one that was not set, unless neither was."""
        count, percentage = self._record.tolerated_failure_count, self._record.tolerated_failure_percentage
        if not count and not percentage:
            return self._failures > 0
        share = 100 * self._failures / max(1, len(self.children))
        return bool((count and self._failures > count) or (percentage and share > percentage))

    def _evaluate(self, place: int, child: Child) -> None:
        from moto.stepfunctions.parser.asl.eval import program_state as states
        from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
        from moto.stepfunctions.parser.asl.eval.states import ItemData, MapData

        child.status, child.started = "RUNNING", datetime.now(UTC)
        frame = self._env.open_inner_frame()
        try:
            frame.event_manager = EventManager()  # a history of its own, which nobody can ask for
            context = frame.states.context_object.context_object_data
            context["Map"] = MapData(Item=ItemData(Index=place, Value=child.item))
            child.input = self._selected(frame, child.item)
            frame.states.reset(child.input)
            self._program.eval(frame)
            state = frame.program_state()
        finally:
            self._env.delete_frame(frame)
        child.stopped = datetime.now(UTC)
        if isinstance(state, states.ProgramEnded):
            child.status, child.output = "SUCCEEDED", frame.states.get_input()
        elif isinstance(state, states.ProgramError):
            child.status = "FAILED"
            child.error, child.cause = state.error.get("error"), state.error.get("cause")
        else:
            child.status = "ABORTED" if isinstance(state, states.ProgramStopped) else "TIMED_OUT"

    def _selected(self, frame: Any, item: Any) -> Any:
        if self._selector is None:
            return item
        frame.states.reset(self._input)
        frame.stack.append(self._input)
        self._selector.eval(frame)
        return frame.stack.pop()

    def _count(self, child: Child, name: str, left: str = "pending") -> None:
        for counter in self._counters():
            getattr(counter, left).offset(-1)
            getattr(counter, name).count()
            if child.status == "SUCCEEDED":
                counter.results_written.count()

    def _counters(self) -> tuple[Any, Any]:
        return self._record.item_counter, self._record.execution_counter


_COUNTERS = {"SUCCEEDED": "succeeded", "FAILED": "failed", "ABORTED": "aborted", "TIMED_OUT": "timed_out"}


def failing_as(kind: str, evaluate: Any) -> Any:
    """An evaluation whose refusals by S3, and contents that are no JSON, have Step Functions' own name."""

    def named(self: Any, env: Any) -> None:
        try:
            evaluate(self, env)
        except (ClientError, ValueError) as error:
            raise _failure(env, kind, str(error)) from error

    return named


def _failure(env: Any, kind: str, cause: str) -> Exception:
    """What fails a map run, with one of the interpreter's names for it."""
    from moto.stepfunctions.parser.api import HistoryEventType, MapRunFailedEventDetails
    from moto.stepfunctions.parser.asl.component.common.error_name import failure_event, states_error_name
    from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
        StatesErrorNameType,
    )
    from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

    name = StatesErrorNameType[kind]
    details = MapRunFailedEventDetails(error=name.to_name(), cause=cause)
    event = failure_event.FailureEvent(
        env=env,
        error_name=states_error_name.StatesErrorName(typ=name),
        event_type=HistoryEventType.MapRunFailed,
        event_details=EventDetails(mapRunFailedEventDetails=details),
    )
    raised: Exception = failure_event.FailureEventException(failure_event=event)
    return raised


def _writing_results_of_failures(evaluate: Any) -> Any:
    """A map run that failed has its results written as well, which moto's does not come to."""

    def with_results(self: Any, env: Any) -> None:
        from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
            FailureEventException,
        )

        before = len(env.map_run_record_pool_manager.get_all())
        try:
            evaluate(self, env)
        except FailureEventException:
            records = env.map_run_record_pool_manager.get_all()[before:]
            if self.result_writer and records and getattr(records[0], "children", None):
                env.stack.append(None)  # where the outputs of a run that succeeded would be
                self.result_writer.eval(env)
            raise

    return with_results


def _describe_map_run(self: Any, map_run_arn: str) -> Any:
    """moto looks for it in the executions of every state machine; a map run's ARN names its own."""
    from moto.stepfunctions.parser.api import ResourceNotFound

    machine = map_run_arn.split(":")[6].partition("/")[0] if map_run_arn.count(":") > 6 else None
    executions = (e for m in self.state_machines if m.name == machine for e in reversed(m.executions))
    for execution in executions:
        env = execution.exec_worker.env if execution.exec_worker else None
        record = env and env.map_run_record_pool_manager.get(map_run_arn)
        if record is not None:
            return record.describe()
    raise ResourceNotFound()
