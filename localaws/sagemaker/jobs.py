"""What jobs of all kinds share: threads that supervise, slots, stopping, running containers."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from localaws.sagemaker.containers import Container, ContainerSpec

if TYPE_CHECKING:
    from localaws.stack import Stack

log = logging.getLogger(__name__)

# How this machine reaches the internet and its package index. The server itself keeps NO_PROXY right.
_NETWORK = re.compile(r"(?i:https?_proxy|no_proxy)|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|PIP_[A-Z_]+")

INTERRUPTED = "InternalServerError: the local AWS was stopped while the job ran"


class Stop(Enum):
    """Why a job is made to end, with the seconds that its containers get between SIGTERM and SIGKILL.

    SageMaker gives 120 s (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopTrainingJob.html);
    somebody who stops a job on the machine before them waits less gladly.
    """

    USER = ("stopped", 30.0)
    NO_DATA = ("its data cannot be read", 30.0)
    TIMEOUT = ("ran longer than MaxRuntimeInSeconds", 120.0)
    CLOSING = ("the local AWS is closing", 0.0)

    @property
    def grace(self) -> float:
        return self.value[1]


class JobStoppedError(Exception):
    """Raised inside a job's own thread at the next point where it can end."""


class Job:
    """The running side of a job: where the outside asks it to stop."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.stop: Stop | None = None

    def ask_to_stop(self, why: Stop) -> None:
        with self.changed:
            # Closing overrides: it leaves no time for a grace period that has begun.
            if self.stop is None or why is Stop.CLOSING:
                self.stop = why
            self.changed.notify_all()

    def check(self) -> None:
        """Raises JobStoppedError once the job was asked to stop."""
        if self.stop is not None:
            raise JobStoppedError(self.stop.value[0])


class Supervisor:
    """Runs each job in its own thread, and at most `slots` containers at once; the others wait in line."""

    def __init__(self, slots: int | None = None) -> None:
        self._jobs: dict[str, tuple[Job, threading.Thread]] = {}
        self._lock = threading.Condition()
        self._slots = slots or max(2, (os.cpu_count() or 2) // 2)
        self._used = 0
        self._line: list[object] = []

    def launch(self, key: str, work: Callable[[Job], None]) -> None:
        """Runs `work` in a thread; `key` (the job's ARN) is how `ask_to_stop` finds it."""
        job = Job()

        def run() -> None:
            try:
                work(job)
            except Exception:  # a thread's end must not be silent; the job's own code sees to its state
                log.exception("%s: its supervisor failed", key)
            finally:
                with self._lock:
                    if self._jobs.get(key, (None,))[0] is job:  # the name may have been taken again
                        del self._jobs[key]

        thread = threading.Thread(target=run, name=key, daemon=True)
        with self._lock:
            self._jobs[key] = (job, thread)
        thread.start()

    def ask_to_stop(self, key: str, why: Stop) -> bool:
        """False when no such job is running."""
        with self._lock:
            entry = self._jobs.get(key)
        if entry is None:
            return False
        entry[0].ask_to_stop(why)
        with self._lock:
            self._lock.notify_all()
        return True

    @contextmanager
    def slots(self, count: int, job: Job) -> Iterator[None]:
        """Waits for its turn. A job larger than all slots together runs alone. Raises JobStoppedError."""
        ticket = object()
        with self._lock:
            self._line.append(ticket)
            try:
                self._lock.wait_for(lambda: job.stop or (self._line[0] is ticket and self._fits(count)))
                job.check()
                self._used += count
            finally:
                self._line.remove(ticket)
                self._lock.notify_all()
        try:
            yield
        finally:
            with self._lock:
                self._used -= count
                self._lock.notify_all()

    def _fits(self, count: int) -> bool:
        return self._used == 0 or self._used + count <= self._slots

    def close(self, prefix: str = "") -> None:
        """Ends the jobs whose key begins so, and returns when they have ended."""
        with self._lock:
            threads = [thread for key, (_, thread) in self._jobs.items() if key.startswith(prefix)]
            keys = [key for key in self._jobs if key.startswith(prefix)]
        for key in keys:
            self.ask_to_stop(key, Stop.CLOSING)
        for thread in threads:
            thread.join()


def run_containers(
    job: Job, specs: Sequence[ContainerSpec], on_line: Callable[[str, str], None], max_seconds: float
) -> list[int]:
    """Runs one container a host until all have ended; answers their exit codes, in the order of the specs.

    When one fails the others are ended; when the job is asked to stop or the time is over (which is noted in
    `job.stop`) all are: SIGTERM, and SIGKILL after the grace period. `on_line(host, line)` is called from
    several threads. Raises ContainerError.
    """
    containers = [Container(spec, partial(on_line, spec.host)) for spec in specs]
    deadline = time.monotonic() + max_seconds
    with ThreadPoolExecutor(len(specs), thread_name_prefix="container") as pool:
        futures = [pool.submit(container.run) for container in containers]
        for future in futures:
            future.add_done_callback(lambda _: _notify(job))

        def over() -> bool:
            return all(future.done() for future in futures)

        def must_end() -> bool:
            failed = any(container.exit_code for container in containers)
            return (
                over() or job.stop is not None or failed or any(f.done() and f.exception() for f in futures)
            )

        with job.changed:
            if not job.changed.wait_for(must_end, deadline - time.monotonic()):
                job.stop = Stop.TIMEOUT
        if not over():
            _end(job, containers, over)
        return [future.result() for future in futures]


def _end(job: Job, containers: Sequence[Container], over: Callable[[], bool]) -> None:
    for container in containers:
        container.terminate()
    why = job.stop or Stop.USER
    with job.changed:
        job.changed.wait_for(lambda: over() or job.stop is Stop.CLOSING, why.grace)
    for container in containers:
        container.kill()


def _notify(job: Job) -> None:
    with job.changed:
        job.changed.notify_all()


def software() -> Path | None:
    """The virtual environment that stands for the images' software; None where the system's Python does."""
    prefix = Path(sys.prefix)
    return prefix if sys.prefix != sys.base_prefix else None


def container_environment(stack: Stack, python: str, role: str | None, hosts: int = 1) -> dict[str, str]:
    """What every container's process sees: a path with our interpreter first, and the way to this stack."""
    environment = stack.child_environment(role)
    threads = max(1, (os.cpu_count() or 1) // hosts)
    network = {name: value for name, value in os.environ.items() if _NETWORK.fullmatch(name)}
    return (
        environment
        | network
        | {
            "PATH": f"{Path(python).parent}:{environment.get('PATH', '/usr/local/bin:/usr/bin:/bin')}",
            "LANG": environment.get("LANG", "C.UTF-8"),
            "PYTHONUNBUFFERED": "1",
            # Font lists and the like are made once, not in every container.
            "XDG_CACHE_HOME": str(stack.folder("cache").absolute()),
            "OMP_NUM_THREADS": str(threads),
        }
    )
