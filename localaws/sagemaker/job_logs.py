"""A job's output in CloudWatch Logs, in batches, as the awslogs driver sends it."""

from __future__ import annotations

import logging
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.log_events import Event, batches, create_stream, events_of

log = logging.getLogger(__name__)

_SECONDS = 0.5


class JobLog:
    """One log stream. Lines are sent twice a second; `close()` returns when the last has arrived.

    What cannot be sent is written to the server's own log: a job does not fail for want of its log.
    """

    def __init__(self, client: Any, group: str, stream: str) -> None:
        self._client = client
        self._target = {"logGroupName": group, "logStreamName": stream}
        self._events: list[Event] = []
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._send_until_closed, name=f"log {stream}", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        with self._wake:
            self._events += events_of(line)

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
            for batch in batches(events):
                self._put(batch)
            if closed:
                return

    def _create(self) -> None:
        try:
            create_stream(self._client, *self._target.values())
        except (ClientError, BotoCoreError) as error:
            log.warning("%s: %s", self._target["logStreamName"], error)

    def _put(self, batch: list[Event]) -> None:
        try:
            self._client.put_log_events(**self._target, logEvents=batch)
        except (ClientError, BotoCoreError) as error:
            log.warning("%s: %d lines lost: %s", self._target["logStreamName"], len(batch), error)
