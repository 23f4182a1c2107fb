"""Long polling of SQS queues, outside moto: inside, it would hold up every other change to a queue."""

from __future__ import annotations

import re
import time
from typing import Any

from moto.core.request import Request

from localaws.operations import Operation
from localaws.recorder import Answer, Recorder
from localaws.wire import json_body, replaced, with_json

_SECONDS_BETWEEN = 0.05
_LONGEST_SECONDS = 20
_WAIT = re.compile(rb"(^|&)WaitTimeSeconds=[^&]*")


def receive(recorder: Recorder, request: Request, operation: Operation) -> Answer:
    """Answers ReceiveMessage by asking moto without waiting until there is a message or the wait is over.

    Only an answer with messages in it is journaled: an empty one changes nothing.
    """
    wait = _wait_seconds(request)
    if not 0 <= wait <= _LONGEST_SECONDS:  # moto refuses it
        return recorder.answer(request, operation)
    until = time.monotonic() + wait
    at_once = _without_waiting(request)
    while True:
        answer = recorder.answer(at_once, operation, lambda answer: b"ReceiptHandle" in answer[2])
        if answer[0] != 200 or b"ReceiptHandle" in answer[2] or time.monotonic() >= until:
            return answer
        time.sleep(_SECONDS_BETWEEN)


def _is_json(request: Request) -> bool:
    return request.headers.get("X-Amz-Target") is not None


def _without_waiting(request: Request) -> Request:
    if _is_json(request):
        return with_json(request, json_body(request) | {"WaitTimeSeconds": 0})
    return replaced(request, _WAIT.sub(b"", request.get_data()) + b"&WaitTimeSeconds=0")


def _wait_seconds(request: Request) -> float:
    """What the request says, else what its queue says."""
    fields: Any = json_body(request) if _is_json(request) else request.values
    try:
        said = fields.get("WaitTimeSeconds")
        return float(_queue_wait(fields.get("QueueUrl", "")) if said is None else said)
    except (TypeError, ValueError):
        return 0.0  # moto says what is wrong with it


def _queue_wait(url: str) -> float:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.sqs.models import sqs_backends

    name = url.rsplit("/", 1)[-1]
    for backend in sqs_backends[DEFAULT_ACCOUNT_ID].values():
        if name in backend.queues:
            return float(backend.queues[name].receive_message_wait_time_seconds or 0)
    return 0.0
