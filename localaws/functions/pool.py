"""The warm workers of one function."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from localaws.functions.errors import TooManyRequestsError
from localaws.functions.worker import Worker

# Starting a worker takes a core a tenth of a second or two. An event first waits that long for a warm one to
# come free: at worst it then waits twice as long as with the better choice. And since starting is all
# computing, more starts at once than there are cores would only make each of them later.
PATIENCE_SECONDS = 0.15
MAX_STARTS = os.cpu_count() or 1
MAX_WORKERS = 32  # of one function; more than this only wait for each other's turn on a core
QUEUE_SECONDS = 60


class Pool:
    """Lends workers, starting them as they are needed; thread-safe."""

    def __init__(self, start: Callable[[], Worker]) -> None:
        self._start = start
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._starting = 0
        self._closed = False
        self._changed = threading.Condition()

    def acquire(self, concurrency: int | None) -> Worker:
        """A worker that nobody else has. Raises TooManyRequestsError when there is none to be had."""
        limit = MAX_WORKERS if concurrency is None else concurrency
        with self._changed:
            self._bury()
            if concurrency is not None and self._lent() >= concurrency:
                raise TooManyRequestsError("Rate Exceeded.")
            if self._lent():
                self._changed.wait_for(lambda: self._idle, PATIENCE_SECONDS)
            if not self._changed.wait_for(lambda: self._idle or self._may_start(limit), QUEUE_SECONDS):
                raise TooManyRequestsError("Rate Exceeded.")
            if self._idle:
                worker = self._idle.pop()  # the one that was busy last: the others may then retire
                self._busy.add(worker)
                return worker
            self._starting += 1
        return self._started()

    def release(self, worker: Worker) -> None:
        """Takes a worker back."""
        with self._changed:
            self._busy.discard(worker)
            keep = worker.alive and not self._closed
            if keep:
                worker.idle_since = time.monotonic()
                self._idle.append(worker)
            self._changed.notify_all()
        if not keep:
            worker.close()

    def retire(self, idle_seconds: float) -> None:
        """Ends the workers that had nothing to do for so long."""
        with self._changed:
            limit = time.monotonic() - idle_seconds
            retired = [worker for worker in self._idle if worker.idle_since <= limit]
            self._idle = [worker for worker in self._idle if worker not in retired]
        for worker in retired:
            worker.close()

    def close(self) -> None:
        """Ends the idle workers now, and the busy ones when they come back."""
        with self._changed:
            self._closed = True
        self.retire(idle_seconds=0)

    def kill(self) -> None:
        """Ends all workers now."""
        self.close()
        with self._changed:
            busy = list(self._busy)
        for worker in busy:
            worker.kill()

    def _bury(self) -> None:
        """Lets go of idle workers that somebody killed."""
        for worker in [worker for worker in self._idle if not worker.alive]:
            self._idle.remove(worker)
            worker.close()

    def _may_start(self, limit: int) -> bool:
        return self._lent() < limit and self._starting < MAX_STARTS

    def _lent(self) -> int:
        return len(self._busy) + self._starting

    def _started(self) -> Worker:
        worker = None
        try:
            worker = self._start()
            worker.initialize()
        finally:
            with self._changed:
                self._starting -= 1
                if worker is not None:
                    self._busy.add(worker)
                self._changed.notify_all()
        return worker
