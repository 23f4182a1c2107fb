"""A thread for each execution that is under way."""

from __future__ import annotations

import logging
import threading

from localaws.sagemaker.engine import announcements, records
from localaws.sagemaker.engine.runner import Runner
from localaws.sagemaker.operations import now
from localaws.sagemaker.service import SageMakerService

log = logging.getLogger(__name__)


class Engine:
    """Runs a service's executions."""

    def __init__(self, service: SageMakerService) -> None:
        self.service = service
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def resume(self) -> None:
        """Takes up the executions that an earlier process left."""
        for execution in self.service.store.list(records.EXECUTION):
            if execution["PipelineExecutionStatus"] in records.ACTIVE:
                self.run(execution["PipelineExecutionArn"])

    def run(self, arn: str) -> None:
        """Has the execution run, from the start or from where it is."""
        with self._lock:
            before = self._threads.get(arn)
            thread = threading.Thread(
                target=self._run, args=(arn, before), name=f"execution-{arn.rpartition('/')[2]}", daemon=True
            )
            self._threads[arn] = thread
            thread.start()

    def close(self) -> None:
        """Lets go of the executions; what they wait for is looked at again by the next `resume`."""
        self._closing.set()
        with self.service.store.changed:
            self.service.store.changed.notify_all()
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join()

    def _run(self, arn: str, before: threading.Thread | None) -> None:
        if before is not None:  # a retried execution: its first run may be about to end
            before.join()
        try:
            Runner(self.service, arn, self._closing.is_set).run()
        except Exception as error:  # the engine's own mistake; nobody else would end the execution
            log.exception("%s failed inside the local SageMaker", arn)
            self._give_up(arn, error)
        with self._lock:
            if self._threads.get(arn) is threading.current_thread():
                del self._threads[arn]

    def _give_up(self, arn: str, error: Exception) -> None:
        reason = f"InternalServerError: {type(error).__name__}: {error}"
        execution = self.service.store.update(
            records.EXECUTION,
            arn,
            lambda document: document.update(
                PipelineExecutionStatus="Failed",
                FailureReason=" ".join(reason.split())[:1300],
                LastModifiedTime=now(),
            ),
        )
        announcements.execution_changed(self.service, execution, "Executing")
