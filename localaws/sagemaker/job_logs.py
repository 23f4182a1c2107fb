"""A job's output in CloudWatch Logs, in batches, as the awslogs driver sends it."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger(__name__)

# Limits of PutLogEvents: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
_EVENTS = 10_000
_BYTES = 1_000_000
_OVERHEAD = 26
_SECONDS = 0.5


class JobLog:
    """One log stream. Lines are sent twice a second; `close()` returns when the last has arrived.

    What cannot be sent is written to the server's own log: a job does not fail for want of its log.
    """

    def __init__(self, client: Any, group: str, stream: str) -> None:
        self._client = client
        self._target = {"logGroupName": group, "logStreamName": stream}
        self._events: list[dict[str, Any]] = []
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._send_until_closed, name=f"log {stream}", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        # CloudWatch refuses an empty message.
        with self._wake:
            self._events.append({"timestamp": int(time.time() * 1000), "message": line or " "})

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _send_until_closed(self) -> None:
        self._create()
        while True:
            with self._wake:
                closed = self._closed or self._wake.wait_for(lambda: self._closed, _SECONDS)
                events, self._events = self._events, []
            for batch in _batches(events):
                self._put(batch)
            if closed:
                return

    def _create(self) -> None:
        for create, name in (
            (self._client.create_log_group, {"logGroupName": self._target["logGroupName"]}),
            (self._client.create_log_stream, self._target),
        ):
            try:
                create(**name)
            except self._client.exceptions.ResourceAlreadyExistsException:
                pass
            except (ClientError, BotoCoreError) as error:
                log.warning("%s: %s", self._target["logStreamName"], error)

    def _put(self, batch: list[dict[str, Any]]) -> None:
        try:
            self._client.put_log_events(**self._target, logEvents=batch)
        except (ClientError, BotoCoreError) as error:
            log.warning("%s: %d lines lost: %s", self._target["logStreamName"], len(batch), error)


def _batches(events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    batches: list[list[dict[str, Any]]] = []
    size = _BYTES
    for item in events:
        weight = len(item["message"].encode()) + _OVERHEAD
        if size + weight > _BYTES or len(batches[-1]) == _EVENTS:
            batches.append([])
            size = 0
        batches[-1].append(item)
        size += weight
    return batches
