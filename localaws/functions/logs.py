"""Brings what functions print to CloudWatch Logs, in the background and in batches."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable

from botocore.exceptions import BotoCoreError, ClientError

from localaws.log_events import Event, batches, create_stream, events_of
from localaws.stack import Stack

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5

Stream = tuple[str, str, str]
"""Group, stream, and the role that writes it."""


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
        events = [event for message in messages for event in events_of(message)]
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
                    create_stream(client, group, stream)
                    self._known.add(known)
                for batch in batches(events):
                    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)
            except (BotoCoreError, ClientError) as error:
                # Somebody deleted the group, or the server is going down. Logs are not worth failing for.
                self._known.discard(known)
                log.warning("%d log events of %s were dropped: %s", len(events), group, error)
