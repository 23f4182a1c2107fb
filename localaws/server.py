"""The server's process: holds the state folder, starts the services, stops them cleanly."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import sqlite3
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localaws import processes, reaper
from localaws.stack import ACCOUNT, REGION, Stack, client_environment
from localaws.state_folder import FolderInUseError, Note, StateFolder

if TYPE_CHECKING:
    from localaws.journal import Journal
    from localaws.recorder import Recorder

log = logging.getLogger("localaws")

_LOG_BYTES = 16 << 20
_OPEN_FILES = 65_536
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ServerError(Exception):
    """The server cannot start."""


def serve(state_dir: Path, port: int = 0) -> None:
    """Serves until SIGTERM or SIGINT. Raises ServerError when it cannot start."""
    folder = StateFolder(state_dir)
    asked_to_stop = threading.Event()
    with ExitStack() as closing:
        try:
            closing.enter_context(folder.hold())
        except FolderInUseError as error:
            raise ServerError(str(error)) from error
        for number in _STOP_SIGNALS:
            signal.signal(number, lambda *_: asked_to_stop.set())
        _log_to(folder.log)
        mark = str(folder.root)
        reaper.sweep(mark)  # what an earlier server left, had its reaper been killed too
        processes.guard(mark)
        closing.callback(reaper.sweep, mark)
        _allow_open_files()
        try:
            note = _start(folder, port, closing)
        except sqlite3.DatabaseError as error:
            raise ServerError(
                f"A database in {folder.root} cannot be read ({error}): restore it, or move it away to start "
                "without what it holds."
            ) from error
        folder.write_note(note)
        closing.callback(folder.remove_note)
        log.info("answering at %s, state in %s", note.endpoint_url, folder.root)
        print(f"Local AWS at {note.endpoint_url}, state in {folder.root}", flush=True)
        asked_to_stop.wait()
        log.info("stopping")
        for number in _STOP_SIGNALS:  # a second one does not wait
            signal.signal(number, signal.SIG_DFL)
    log.info("stopped")


def _start(folder: StateFolder, port: int, closing: ExitStack) -> Note:
    # Imported here: --help and a folder in use must not wait for moto.
    from localaws.httpd import HOST

    server = _bind(folder, port)
    closing.callback(server.server_close)
    endpoint_url = f"http://{HOST}:{server.port}"
    _set_environment(endpoint_url)

    from localaws import moto_app
    from localaws.authorization import Place
    from localaws.calls import CallLog
    from localaws.cloudformation.service import CloudFormationService
    from localaws.events import EventDelivery
    from localaws.functions.runtime import FunctionRuntime
    from localaws.gateway import Gateway
    from localaws.journal import Journal
    from localaws.recorder import Recorder
    from localaws.sagemaker.service import SageMakerService
    from localaws.sagemaker.store import Store
    from localaws.step_functions.execution_store import ExecutionStore
    from localaws.step_functions.executions import Executions

    store = Store(folder.root / "sagemaker.sqlite")
    closing.callback(store.close)
    calls = CallLog.from_environment(Place(REGION, ACCOUNT))
    stack = Stack(folder.root, server.port, store, calls=calls)
    services = SageMakerService(stack), FunctionRuntime(stack), CloudFormationService(stack)
    delivery = EventDelivery(stack)
    services[0].listeners.append(delivery)
    closing.callback(delivery.close)
    journal = Journal(stack.folder("journal"))
    closing.callback(journal.close)
    executions = Executions(ExecutionStore(stack.root / "executions.sqlite"))
    closing.callback(executions.close)
    moto = moto_app.create(server.port, stack.account, executions.imported)
    recorder = Recorder(moto, journal, server.port)
    _replay(journal, recorder)
    executions.replayed()
    server.app = Gateway(*services, recorder, calls)
    threading.Thread(target=server.serve_forever, name="gateway", daemon=True).start()
    closing.callback(server.shutdown)
    for service in services:
        closing.callback(service.close)
        service.start()
    return Note(os.getpid(), server.port, endpoint_url, time.time())


def _replay(journal: Journal, recorder: Recorder) -> None:
    from localaws.compaction import superseded

    started = time.monotonic()
    dropped = superseded(journal)
    journal.remove(dropped)
    count = recorder.replay()
    seconds = time.monotonic() - started
    log.info("replayed %d requests, left out %d superseded ones, in %.1f s", count, len(dropped), seconds)


def _bind(folder: StateFolder, port: int) -> Any:
    from localaws.httpd import Server

    last = folder.last_port() if port == 0 else None
    for candidate in (last, port) if last else (port,):
        try:
            return Server(candidate)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            if candidate == port:
                raise ServerError(
                    f"Port {port} of 127.0.0.1 cannot be had ({os.strerror(error.errno)}): "
                    "choose another with --port, or 0 for a free one."
                ) from error
    raise AssertionError("unreachable")


def _allow_open_files() -> None:
    """moto keeps a file open for each larger object; 1,024 are soon too few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _set_environment(endpoint_url: str) -> None:
    """What clients inside this process read: this stack, and nothing of the user's own AWS settings."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    os.environ.update(client_environment(endpoint_url))
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


def _log_to(path: Path) -> None:
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("botocore", "boto3", "urllib3", "werkzeug", "s3transfer"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It logs each failure that a state machine is there to catch as an error of its own.
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)
