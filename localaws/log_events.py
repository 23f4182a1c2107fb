"""Lines as CloudWatch Logs takes them: a stream to write to, events that are not too large, batches of them.

Limits: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

MAX_BATCH_EVENTS = 10_000
MAX_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD = 26  # bytes that count on top of each event
MAX_EVENT_BYTES = 262_144 - EVENT_OVERHEAD

Event = dict[str, Any]


def create_stream(client: Any, group: str, stream: str) -> None:
    """The stream, and the group only where nobody has made it: a function's role need not be allowed to."""
    names = {"logGroupName": group, "logStreamName": stream}
    with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
        try:
            client.create_log_stream(**names)
        except client.exceptions.ResourceNotFoundException:
            with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
                client.create_log_group(logGroupName=group)
            client.create_log_stream(**names)


def events_of(message: str) -> list[Event]:
    """One event of the present, or several where it is too large: at four bytes a character at most.

    CloudWatch refuses an empty message.
    """
    now, step = int(time.time() * 1000), MAX_EVENT_BYTES // 4
    text = (message or " ").encode("utf-8", "replace").decode()  # half of a surrogate pair is no text
    return [{"timestamp": now, "message": text[start : start + step]} for start in range(0, len(text), step)]


def batches(events: list[Event]) -> Iterator[list[Event]]:
    """All events in their order, each batch as large as one request may be."""
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
