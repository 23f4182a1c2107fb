"""Brings what functions print to CloudWatch Logs, in the background and in batches."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.stack import Stack

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
# PutLogEvents' limits: events and bytes a batch, with 26 bytes counted on top of each event; bytes an event.
MAX_BATCH_EVENTS = 10_000
MAX_BATCH_BYTES = 1_048_576
MAX_EVENT_BYTES = 262_144
EVENT_OVERHEAD = 26

Stream = tuple[str, str, str]
"""Group, stream, and the role that writes it."""
Event = dict[str, Any]


class LogWriter:
    """Takes lines from any thread; one thread of its own writes them."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._pending: defaultdict[Stream, list[Event]] = defaultdict(list)
        self._lock = threading.Lock()
        self._known: set[Stream] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="function-logs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def write(self, stream: Stream, messages: Iterable[str]) -> None:
        """Queues messages, all stamped with the present."""
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": part} for message in messages for part in _parts(message)]
        with self._lock:
            self._pending[stream] += events

    def close(self) -> None:
        """Writes what is still queued."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, defaultdict(list)
        for known, events in pending.items():
            group, stream, role = known
            client = self._stack.client("logs", role)
            try:
                if known not in self._known:
                    _create(client, group, stream)
                    self._known.add(known)
                for batch in _batches(events):
                    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)
            except (BotoCoreError, ClientError) as error:
                # Somebody deleted the group, or the server is going down. Logs are not worth failing for.
                self._known.discard(known)
                log.warning("%d log events of %s were dropped: %s", len(events), group, error)


def _create(client: Any, group: str, stream: str) -> None:
    """The stream, and the group only where nobody has made it: a function's role need not be allowed to."""
    names = {"logGroupName": group, "logStreamName": stream}
    with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
        try:
            client.create_log_stream(**names)
        except client.exceptions.ResourceNotFoundException:
            client.create_log_group(logGroupName=group)
            client.create_log_stream(**names)


def _parts(message: str) -> Iterator[str]:
    """An event that is too large, cut as Lambda cuts it; at four bytes a character at most."""
    step = MAX_EVENT_BYTES // 4
    for start in range(0, max(len(message), 1), step):
        yield message[start : start + step]


def _batches(events: list[Event]) -> Iterator[list[Event]]:
    batch: list[Event] = []
    size = 0
    for event in events:
        cost = len(event["message"].encode()) + EVENT_OVERHEAD
        if batch and (size + cost > MAX_BATCH_BYTES or len(batch) == MAX_BATCH_EVENTS):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += cost
    if batch:
        yield batch
