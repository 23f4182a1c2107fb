"""Moves one execution on, from its start or from wherever an earlier process left it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from localaws.documents import Document
from localaws.sagemaker.engine import announcements, caching, records, retries
from localaws.sagemaker.engine.context import Context
from localaws.sagemaker.engine.definition import Step
from localaws.sagemaker.engine.expressions import ExpressionError
from localaws.sagemaker.engine.kinds import Result, StepError, Work
from localaws.sagemaker.engine.plan import Fate, fates
from localaws.sagemaker.engine.step_types import STEP_TYPES
from localaws.sagemaker.operations import now
from localaws.sagemaker.service import SageMakerService

Observation = tuple[str, dict[str, Result | None]]
log = logging.getLogger(__name__)

MOST_PARALLEL_STEPS = 50  # where no ParallelismConfiguration says less
GENERIC_REASON = "Step failure: One or multiple steps failed."


class Runner:
    """Runs an execution to its end in the calling thread.

    Everything that it knows is read from the store at each pass and written there before the next thing is
    done, so a pass is the same whether this process or an earlier one made the one before.
    """

    def __init__(self, service: SageMakerService, arn: str, closing: Callable[[], bool]) -> None:
        self.service = service
        self.store = service.store
        self.closing = closing
        execution = records.execution(self.store, arn)
        self.context = Context(service, records.definition(self.store, execution), execution)

    def run(self) -> None:
        """Returns when the execution has ended, or when `closing()` is true."""
        try:
            self._run()
        finally:
            self.context.calls.clear()

    def _run(self) -> None:
        while not self.closing():
            seen = self._observe()
            if self._pass(seen[1]):
                continue
            if self.context.execution["PipelineExecutionStatus"] not in records.ACTIVE:
                return
            self._wait(seen)

    def _wait(self, seen: Observation) -> None:
        """Until something may call for a pass."""
        self.store.wait_for(lambda: self.closing() or self._observe() != seen, self._until_retry())

    # --- what is there ---

    def _observe(self) -> Observation:
        """Reads the execution and its steps, and looks at those under way: whatever may call for a pass."""
        context = self.context
        context.execution = records.execution(self.store, context.arn)
        context.records = records.steps(self.store, context.arn)
        results = {
            name: self._look(name, record)
            for name, record in context.records.items()
            if record["StepStatus"] in ("Executing", "Stopping")
        }
        parallel = str(context.execution.get("ParallelismConfiguration"))
        return context.execution["PipelineExecutionStatus"] + parallel, results

    def _look(self, name: str, record: Document) -> Result | None:
        step = self.context.definition.steps[name]
        try:
            return STEP_TYPES[step.type].look(Work(self.context, step, record))
        except (ExpressionError, StepError) as error:
            # Final: what the step did is done, and is not done again because its result cannot be read.
            return Result("Failed", _failure(error).reason)

    def _fates(self) -> dict[str, Fate]:
        selection = self.context.execution.get("SelectiveExecutionConfig")
        selected = {each["StepName"] for each in selection["SelectedSteps"]} if selection else None
        return fates(self.context.definition, self.context.records, selected)

    def _until_retry(self) -> float | None:
        times = [record["_RetryAt"] for record in self.context.records.values() if _waits(record)]
        return max(0.0, min(times) - now()) if times else None

    # --- one pass ---

    def _pass(self, results: dict[str, Result | None]) -> bool:
        """Takes in what has ended, stops or begins what is to be. True: something changed."""
        context = self.context
        if context.execution["PipelineExecutionStatus"] not in records.ACTIVE:
            return False
        ended = {name: result for name, result in results.items() if result is not None}
        for name, result in ended.items():
            self._take_in(context.definition.steps[name], result)
        if ended:
            return True
        changed = self._halt() if self._halting() else self._begin() | self._launch()
        return changed or self._finish()

    def _halting(self) -> bool:
        """Is nothing new to begin: the execution is being stopped, or a Fail step was reached?"""
        failed = (name for name, record in self.context.records.items() if record["StepStatus"] == "Failed")
        return self.context.execution["PipelineExecutionStatus"] == "Stopping" or any(
            self.context.definition.steps[name].type == "Fail" for name in failed
        )

    def _halt(self) -> bool:
        changed = False
        for name, record in self.context.records.items():
            step = self.context.definition.steps[name]
            if record["StepStatus"] == "Starting" and "_RetryAt" in record:
                self._end(step, Result("Stopped"))
            elif record["StepStatus"] == "Starting":
                self._start(step, record)
            elif record["StepStatus"] == "Executing":
                self._stop(step, record)
            else:
                continue
            changed = True
        return changed

    def _begin(self) -> bool:
        """Makes a record for each step that may run, as far as parallelism allows."""
        config = self.context.execution.get("ParallelismConfiguration") or {}
        found = self._fates()
        free = config.get("MaxParallelExecutionSteps", MOST_PARALLEL_STEPS)
        free -= sum(fate is Fate.RUNNING for fate in found.values())
        ready = [name for name, fate in found.items() if fate is Fate.READY][: max(0, free)]
        for name in ready:
            self._prepare(self.context.definition.steps[name])
        if ready:
            self.context.records = records.steps(self.store, self.context.arn)
        return bool(ready)

    def _launch(self) -> bool:
        """Starts what has a record but was not started: a moment ago, before a kill, or after a failure."""
        due = [
            record
            for record in self.context.records.values()
            if record["StepStatus"] == "Starting" and not (_waits(record) and record["_RetryAt"] > now())
        ]
        for record in due:
            self._start(self.context.definition.steps[record["StepName"]], record)
        return bool(due)

    def _finish(self) -> bool:
        if any(record["StepStatus"] in records.RUNNING for record in self.context.records.values()):
            return False
        stopping = self.context.execution["PipelineExecutionStatus"] == "Stopping"
        failed = [record for record in self.context.records.values() if record["StepStatus"] == "Failed"]
        status = "Stopped" if stopping else "Failed" if failed else "Succeeded"

        def change(document: Document) -> None:
            document.update(PipelineExecutionStatus=status, LastModifiedTime=now())
            if status == "Failed":
                document["FailureReason"] = failure_reason(failed)

        self._change_execution(change)
        return True

    # --- one step ---

    def _prepare(self, step: Step) -> None:
        """A step's first record: prepared, answered from the cache, or failed for lack of a value."""
        moment = now()
        record: Document = {
            "StepName": step.name,
            "StepDisplayName": step.document.get("DisplayName"),
            "StepDescription": step.document.get("Description"),
            "StartTime": moment,
            "StepStatus": "Starting",
            "AttemptCount": 1,
            "_Sequence": 1 + max((each["_Sequence"] for each in self.context.records.values()), default=0),
            "_Began": moment,
        }
        self.context.records[step.name] = record
        records.put_step(self.store, self.context.arn, record)
        announcements.step_changed(self.service, self.context.execution, step, None, record)
        self._fill(step)

    def _fill(self, step: Step) -> None:
        """Adds what the step's kind must know to start, or ends the step."""
        try:
            prepared = STEP_TYPES[step.type].prepare(Work(self.context, step))
        except (ExpressionError, StepError) as error:
            self._end(step, _failure(error))
            return
        key = caching.cache_key(step, prepared.get("_Request", {}))
        hit = caching.find(self.store, self.context.execution["PipelineArn"], step, key) if key else None
        if hit:
            source = {"SourcePipelineExecutionArn": hit["Execution"]}
            result = Result("Succeeded", properties=hit["Properties"], metadata=hit["Metadata"])
            self._end(step, result, {"CacheHitResult": source})
            return
        self._update(step, lambda record: record.update(prepared | {"_CacheKey": key, "_Prepared": True}))

    def _start(self, step: Step, record: Document) -> None:
        if not record.get("_Prepared"):  # a kill came between the record and its filling, or this is a retry
            self._update(step, lambda kept: kept.pop("_RetryAt", None))
            self._fill(step)
            return
        try:
            members = STEP_TYPES[step.type].start(Work(self.context, step, record))
        except (ExpressionError, StepError) as error:
            self._take_in(step, _failure(error))
            return
        self._update(step, lambda kept: kept.update(members | {"StepStatus": "Executing"}))

    def _stop(self, step: Step, record: Document) -> None:
        try:
            STEP_TYPES[step.type].stop(Work(self.context, step, record))
        except StepError as error:  # it ended a moment ago, or cannot be stopped: how it ends will be seen
            log.warning("Step %s of %s was not stopped: %s", step.name, self.context.arn, error)
        self._update(step, lambda kept: kept.update(StepStatus="Stopping"))

    def _take_in(self, step: Step, result: Result) -> None:
        """Ends the step, or has it tried again."""
        record = self.context.records[step.name]
        if result.status == "Stopped" and not self._halting():
            result = Result("Failed", result.reason, result.exception)  # somebody stopped the job itself
        if result.status == "Failed" and not self._halting():
            elapsed = now() - record["_Began"]
            delay = retries.next_delay(step, result.exception, record["AttemptCount"], elapsed)
            if delay is not None:
                self._schedule(step, result, delay)
                return
        self._end(step, result)

    def _schedule(self, step: Step, result: Result, delay: float) -> None:
        """The next attempt begins with nothing of the last one but its count."""

        def change(record: Document) -> None:
            for member in [name for name in record if name.startswith("_")]:
                if member not in ("_Sequence", "_Began"):
                    del record[member]
            record.pop("Metadata", None)
            record.update(
                StepStatus="Starting", AttemptCount=record["AttemptCount"] + 1, _RetryAt=now() + delay
            )

        log.info(
            "Step %s of %s is tried again in %g s: %s", step.name, self.context.arn, delay, result.reason
        )
        self._update(step, change)

    def _end(self, step: Step, result: Result, more: Document | None = None) -> None:
        def change(record: Document) -> None:
            record.update(StepStatus=result.status, EndTime=now(), **(more or {}))
            if result.status == "Failed":
                record["FailureReason"] = result.reason[:1024]
            if result.metadata is not None:
                record["Metadata"] = result.metadata
            record["_Properties"] = result.properties

        before = self.context.records[step.name]["StepStatus"]
        with self.store.transaction():
            record = records.update_step(self.store, self.context.arn, step.name, change)
            if result.status == "Succeeded" and record.get("_CacheKey"):
                pipeline = self.context.execution["PipelineArn"]
                caching.remember(self.store, pipeline, step, record["_CacheKey"], self.context.arn, record)
        self._changed(step, before, record)

    def _update(self, step: Step, change: Callable[[Document], Any]) -> None:
        before = self.context.records[step.name]["StepStatus"]
        self._changed(step, before, records.update_step(self.store, self.context.arn, step.name, change))

    def _changed(self, step: Step, before: str, record: Document) -> None:
        self.context.records[step.name] = record
        if record["StepStatus"] != before:
            announcements.step_changed(self.service, self.context.execution, step, before, record)

    def _change_execution(self, change: Callable[[Document], None]) -> None:
        before = self.context.execution["PipelineExecutionStatus"]
        self.context.execution = self.store.update(records.EXECUTION, self.context.arn, change)
        announcements.execution_changed(self.service, self.context.execution, before)


def failure_reason(failed: list[Document]) -> str:
    """Why an execution failed, on one line of at most 1,300 characters, as its API shape wants it.

    SageMaker says the first sentence only, and leaves the reader to list the steps. The steps' own reasons
    follow it here, so that whoever describes the execution sees the job's last error at once.
    """
    reasons = [f"{record['StepName']}: {record.get('FailureReason', '')}" for record in failed]
    return " ".join(f"{GENERIC_REASON} {' '.join(reasons)}".split())[:1300]


def _failure(error: ExpressionError | StepError) -> Result:
    if isinstance(error, StepError):
        return Result("Failed", str(error), error.exception)
    return Result("Failed", f"ClientError: {error}")


def _waits(record: Document) -> bool:
    return record["StepStatus"] == "Starting" and "_RetryAt" in record
