"""What PutLogEvents takes: no event and no batch too large, and nothing lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localaws import log_events


def within_limits(batch, size=log_events.MAX_BATCH_BYTES, count=log_events.MAX_BATCH_EVENTS):
    cost = sum(len(event["message"].encode()) + log_events.EVENT_OVERHEAD for event in batch)
    return 0 < len(batch) <= count and (cost <= size or len(batch) == 1)


@given(st.lists(st.text(min_size=1, max_size=20), max_size=50), st.integers(60, 400), st.integers(1, 20))
def test_batches_keep_the_limits_and_lose_nothing(messages, size, count):
    events = [{"timestamp": 1, "message": message} for message in messages]
    with pytest.MonkeyPatch.context() as limits:
        limits.setattr(log_events, "MAX_BATCH_BYTES", size)
        limits.setattr(log_events, "MAX_BATCH_EVENTS", count)
        batches = list(log_events.batches(events))
    assert [event for batch in batches for event in batch] == events
    assert all(within_limits(batch, size, count) for batch in batches)


def test_batches_that_cloudwatch_takes():
    events = [{"timestamp": 0, "message": "é" * 1000} for _ in range(1200)] + [
        {"timestamp": 0, "message": "x"} for _ in range(15_000)
    ]
    batches = list(log_events.batches(events))
    assert [event for batch in batches for event in batch] == events
    assert all(within_limits(batch) for batch in batches)
    assert list(log_events.batches([])) == []


@given(st.text(min_size=1, max_size=30))
def test_a_message_is_cut_without_losing_a_character(text):
    events = log_events.events_of(text * 20_000)
    assert "".join(event["message"] for event in events) == text * 20_000
    assert all(len(event["message"].encode()) <= log_events.MAX_EVENT_BYTES for event in events)


def test_an_empty_line_is_an_event():
    assert [event["message"] for event in log_events.events_of("")] == [" "]
