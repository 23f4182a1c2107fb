"""One model server: a container's process, kept running, and the way requests get to it."""

from __future__ import annotations

import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import urllib3

from localaws.sagemaker.containers import Container, ContainerError, ContainerSpec

log = logging.getLogger(__name__)

# A model has 60 seconds to answer, as on SageMaker:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
ANSWER_SECONDS = 60.0
STOP_SECONDS = 5.0  # between SIGTERM and SIGKILL
_PING_SECONDS = 2.0  # what a /ping may take, as on SageMaker
_PING_PAUSE = 0.05
_LONGEST_PAUSE = 30.0  # before a server that keeps ending is started once more
_STEADY_SECONDS = 60.0  # a server that lasted this long starts again without a pause


class State(Enum):
    STARTING = "starting"  # its process runs, or is about to, and does not answer /ping yet
    READY = "ready"
    PAUSED = "paused"  # it ended too often in a row; it is started again in a while
    STOPPED = "stopped"


class NotReadyError(Exception):
    """No server could take the request in time."""


class ModelTimeoutError(Exception):
    """The model did not answer within its time."""


class ModelConnectionError(Exception):
    """The model server went away in the middle of a request."""


@dataclass(frozen=True)
class ServerSpec:
    """What to run.

    Attributes:
        command: starts the server; it listens on the loopback port of `SAGEMAKER_BIND_TO_PORT`.
        environment: all its variables but that one.
        folder: its own; `folder/ml/model` holds the unpacked model.
        name: in the log stream and the threads' names, such as `AllTraffic/i-0a…`.
        answer_seconds: what the model has to answer a request.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    name: str
    answer_seconds: float = ANSWER_SECONDS


class ModelServer:
    """Starts the process, asks /ping until it is ready, and starts it again when it ends.

    Attributes:
        in_flight: requests that it is answering now.
    """

    def __init__(self, spec: ServerSpec, write_log: Callable[[str], None]) -> None:
        self._spec = spec
        self._write_log = write_log
        self._changed = threading.Condition()
        self._state = State.STARTING
        self._starts = 0
        self._container: Container | None = None
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._ended = threading.Event()  # of the process that runs now
        self._ready_since = 0.0
        self._thread = threading.Thread(target=self._keep_running, name=spec.name, daemon=True)
        self.in_flight = 0

    @property
    def state(self) -> State:
        return self._state

    @property
    def restarted(self) -> bool:
        """Whether its first process has ended."""
        return self._starts > 1

    def start(self) -> None:
        self._thread.start()

    def wait_until_ready(self, seconds: float, *, first_start_only: bool = False) -> bool:
        """Whether it is ready within the time. False at once when it is not being started any more.

        `first_start_only`: a process that ends before it answered /ping once counts as never getting ready.
        """

        def over() -> bool:
            return self._state is not State.STARTING or (first_start_only and self._starts > 1)

        with self._changed:
            self._changed.wait_for(over, seconds)
            return self._state is State.READY

    def stop(self) -> None:
        """Ends it; returns when its process is gone. A request in flight gets no answer."""
        with self._changed:
            self._state = State.STOPPED
            self._changed.notify_all()
            container = self._container
        if container:
            container.terminate()
        if self._thread.ident is None:
            return
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive() and container:
            container.kill()
        self._thread.join()

    def post(self, body: bytes, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Sends a request to the model. Raises ModelTimeoutError, ModelConnectionError, NotReadyError."""
        pool = self._pool
        if pool is None or self._state is not State.READY:
            raise NotReadyError(self._spec.name)
        try:
            with self._counted():
                return pool.urlopen("POST", "/invocations", body=body, headers=headers, retries=False)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise ModelTimeoutError(self._spec.name) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._doubt(pool)
            if isinstance(error, urllib3.exceptions.NewConnectionError):
                raise NotReadyError(self._spec.name) from error  # nothing was sent: ask again
            raise ModelConnectionError(str(error)) from error

    def get(self, path: str) -> urllib3.BaseHTTPResponse:
        """Asks the server for something beside predictions. Raises NotReadyError."""
        pool = self._pool
        if pool is None:
            raise NotReadyError(self._spec.name)
        try:
            return pool.urlopen("GET", path, retries=False, timeout=_PING_SECONDS)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NotReadyError(self._spec.name) from error

    def _doubt(self, pool: urllib3.HTTPConnectionPool) -> None:
        """A connection broke: the process may be about to end. No requests until /ping is answered again."""
        with self._changed:
            if self._pool is pool and self._state is State.READY:
                self._set(State.STARTING)
                threading.Thread(target=self._watch, args=(pool, self._ended), daemon=True).start()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._changed:
            self.in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self.in_flight -= 1

    def _keep_running(self) -> None:
        failures = 0
        while self._state is not State.STOPPED:
            lasted = self._run_once()
            failures = 0 if lasted > _STEADY_SECONDS else failures + 1
            with self._changed:
                if self._state is not State.STOPPED and failures > 1:
                    self._set(State.PAUSED)
                    self._changed.wait(min(_LONGEST_PAUSE, 2.0**failures / 2))
                if self._state is not State.STOPPED:
                    self._set(State.STARTING)

    def _run_once(self) -> float:
        """One life of the process; answers how many seconds it served."""
        port = _free_port()
        environment = {**self._spec.environment, "SAGEMAKER_BIND_TO_PORT": str(port)}
        spec = ContainerSpec(self._spec.command, environment, self._spec.folder, "model", ("model",))
        container = Container(spec, self._write_log)
        with self._changed:
            if self._state is State.STOPPED:
                return 0.0
            self._container = container
            self._starts += 1
            self._changed.notify_all()
        timeout = urllib3.Timeout(connect=_PING_SECONDS, read=self._spec.answer_seconds)
        pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=64, timeout=timeout)
        self._ended = ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(pool, ended), daemon=True)
        watcher.start()
        try:
            code = container.run()
            self._write_log(f"The model server ended with exit code {code}.")
        except ContainerError as error:
            self._write_log(str(error))
        ended.set()
        watcher.join()
        return self._close_pool()

    def _watch(self, pool: urllib3.HTTPConnectionPool, ended: threading.Event) -> None:
        """Asks /ping until the server is ready or its process has ended."""
        while not ended.is_set():
            if _answers_ping(pool):
                with self._changed:
                    if self._state is State.STARTING and not ended.is_set():
                        self._pool, self._ready_since = pool, time.monotonic()
                        self._set(State.READY)
                return
            ended.wait(_PING_PAUSE)

    def _close_pool(self) -> float:
        with self._changed:
            pool, self._pool = self._pool, None
            if self._state is State.READY:
                self._set(State.STARTING)
        if pool is None:
            return 0.0
        pool.close()
        return time.monotonic() - self._ready_since

    def _set(self, state: State) -> None:
        self._state = state
        self._changed.notify_all()


def instance_id() -> str:
    """A name such as those of the instances behind an endpoint."""
    return f"i-{uuid.uuid4().hex[:17]}"


def _answers_ping(pool: urllib3.HTTPConnectionPool) -> bool:
    try:
        return pool.urlopen("GET", "/ping", retries=False, timeout=_PING_SECONDS).status == 200
    except (urllib3.exceptions.HTTPError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
