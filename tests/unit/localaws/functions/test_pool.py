"""When the pool starts workers; the workers themselves are tested over HTTP."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from localaws.functions import pool
from localaws.functions.errors import TooManyRequestsError


class Worker:
    def __init__(self):
        self.alive, self.closed, self.idle_since = True, False, 0.0

    def initialize(self):
        time.sleep(0.02)

    def kill(self):
        self.alive = False

    def close(self):
        self.alive, self.closed = False, True


@pytest.fixture
def workers():
    return []


@pytest.fixture
def started(workers):
    def start():
        workers.append(Worker())
        return workers[-1]

    return pool.Pool(start)


def test_the_worker_that_was_busy_last_is_lent_first(started, workers):
    first, second = started.acquire(None), started.acquire(None)
    started.release(second)
    started.release(first)
    assert started.acquire(None) is first
    assert len(workers) == 2


def test_a_short_wait_saves_a_start(started, workers):
    worker = started.acquire(None)
    threading.Timer(pool.PATIENCE_SECONDS / 3, started.release, (worker,)).start()
    assert started.acquire(None) is worker
    assert len(workers) == 1


def test_a_burst_of_short_events_does_not_start_a_worker_for_each(started, workers):
    def event(_):
        worker = started.acquire(None)
        time.sleep(0.002)
        started.release(worker)

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(event, range(200)))
    assert len(workers) < 20


def test_reserved_concurrency_is_a_limit(started):
    worker = started.acquire(1)
    with pytest.raises(TooManyRequestsError):
        started.acquire(1)
    started.release(worker)
    assert started.acquire(1) is worker
    with pytest.raises(TooManyRequestsError):
        started.acquire(0)


def test_a_dead_worker_is_not_lent(started, workers):
    worker = started.acquire(None)
    started.release(worker)
    worker.kill()
    assert started.acquire(None) is not worker
    assert worker.closed


def test_a_worker_that_cannot_be_made_holds_no_place():
    def broken():
        raise OSError("no processes left")

    empty = pool.Pool(broken)
    for _ in range(3):
        with pytest.raises(OSError, match="no processes"):
            empty.acquire(1)


def test_a_closed_pool_ends_its_workers_as_they_come_back(started, workers):
    idle, busy = started.acquire(None), started.acquire(None)
    started.release(idle)
    started.close()
    assert (idle.closed, busy.closed) == (True, False)
    started.release(busy)
    assert busy.closed


def test_idle_workers_retire(started, workers):
    worker = started.acquire(None)
    started.release(worker)
    started.retire(60)
    assert not worker.closed
    started.retire(0)
    assert worker.closed
