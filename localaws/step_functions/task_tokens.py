"""A task's token takes one answer. moto's interpreter takes any number, and the last before it looks wins."""

from __future__ import annotations

import threading
from typing import Any

from localaws.errors import AwsError


def install() -> None:
    """Once, after moto's Step Functions were imported."""
    from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackPoolManager

    for name in ("notify", "heartbeat"):
        setattr(CallbackPoolManager, name, _while_open(getattr(CallbackPoolManager, name)))


def _while_open(operation: Any) -> Any:
    lock = threading.Lock()

    def checked(self: Any, callback_id: str, **arguments: Any) -> Any:
        with lock:
            endpoint = self.get(callback_id)
            # Set by an answer, and by the task's own end.
            if endpoint is not None and endpoint._notify_event.is_set():
                raise AwsError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
            return operation(self, callback_id=callback_id, **arguments)

    return checked
