"""Executions and their courses come back from SQLite as they were."""

import datetime
import time

import pytest

from localaws.step_functions.execution_store import RETENTION_SECONDS, Course, ExecutionStore, Record

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:m"


def record(name="e", machine=MACHINE, **changes):
    arn = f"arn:aws:states:us-east-1:123456789012:execution:m:{name}"
    fields = {"started": time.time(), "kind": "STANDARD", "role": "r", "input": '{"a": "ü"}'}
    return Record(arn=arn, name=name, machine=machine, **(fields | changes))


@pytest.fixture
def store(tmp_path):
    made = ExecutionStore(tmp_path / "executions.sqlite")
    yield made
    made.close()


def test_the_end_replaces_the_start(store):
    store.put(record(started=1e9 * 2))
    ended = record(started=1e9 * 2, status="FAILED", stopped=1e9 * 2 + 1, error="E", cause="C")
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
    course = Course([{"id": 1, "timestamp": moment, "details": {"input": "{}"}}], [])
    store.put(ended, course)
    assert list(store.records()) == [ended]
    assert store.course(ended.arn) == course


def test_no_course_before_the_end(store):
    store.put(record())
    assert store.course(record().arn) == Course([], [])


def test_a_deleted_machine_takes_its_executions_along_and_no_others(store):
    store.put(record("one"))
    store.put(record("two", machine=MACHINE + ":1"))
    store.put(record("three", machine=MACHINE + "2"))
    store.forget(MACHINE)
    assert [found.name for found in store.records()] == ["three"]


def test_executions_older_than_step_functions_keeps_them_go_at_the_next_start(store, tmp_path):
    store.put(record("old", started=time.time() - RETENTION_SECONDS - 60))
    store.put(record("new"))
    again = ExecutionStore(tmp_path / "executions.sqlite")
    assert [found.name for found in again.records()] == ["new"]
    again.close()
