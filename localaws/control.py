"""Starts, finds and stops a local AWS that runs in the background."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from localaws import processes
from localaws.stack import client_environment
from localaws.state_folder import StateFolder

_START_SECONDS = 300  # a long journal takes its time to replay
_STOP_SECONDS = 30
_TELEMETRY_OFF = """\
# The SageMaker SDK reports each use to AWS unless it is told not to.
SchemaVersion: "1.0"
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""


class ControlError(Exception):
    """The local AWS did not start, or did not stop."""


@dataclass(frozen=True)
class Running:
    """A local AWS that answers."""

    state_dir: Path
    pid: int
    port: int
    endpoint_url: str

    def environment(self) -> dict[str, str]:
        """What to export so that the AWS CLI, boto3 and the SageMaker SDK talk to it, and to nobody else."""
        config = self.state_dir / "sagemaker-sdk.yaml"
        if not config.exists():
            config.write_text(_TELEMETRY_OFF)
        direct = ["127.0.0.1", "localhost", *filter(None, os.environ.get("NO_PROXY", "").split(","))]
        return client_environment(self.endpoint_url) | {
            "NO_PROXY": ",".join(dict.fromkeys(direct)),
            "SAGEMAKER_VALIDATE_ROLE": "false",
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config),
        }


def status(state_dir: Path) -> Running | None:
    """The local AWS of this state folder, or None when none answers (one that was killed counts as none)."""
    folder = StateFolder(state_dir)
    note = folder.note()
    if note is None or not _answers(note.endpoint_url):
        return None
    return Running(folder.root, note.pid, note.port, note.endpoint_url)


def up(state_dir: Path, port: int = 0) -> Running:
    """Starts the local AWS in the background, or finds the one that runs; returns once it answers.

    With port 0 it takes the folder's last port, or any free one. Raises ControlError.
    """
    folder = StateFolder(state_dir)
    folder.make()
    running = None
    until = time.monotonic() + _START_SECONDS
    while running is None:  # the server that held the folder may have been about to end
        if time.monotonic() > until:
            raise ControlError(f"The local AWS did not start in {_START_SECONDS} s; {folder.log} says why.")
        if folder.holder() is None:
            _spawn(folder, port)
        running = _await(folder)
    if port not in (0, running.port):
        raise ControlError(
            f"The local AWS of {folder.root} runs on port {running.port} already: "
            f"stop it first to have port {port}."
        )
    return running


def down(state_dir: Path) -> bool:
    """Stops the local AWS and everything it started; says whether there was one. Raises ControlError."""
    folder = StateFolder(state_dir)
    pid = folder.holder()
    if not pid:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if _until(lambda: folder.holder() != pid and _ended(pid), _STOP_SECONDS):
            folder.remove_note()
            return True
    raise ControlError(f"The local AWS (process {pid}) does not stop.")


def _ended(pid: int) -> bool:
    """A busy machine may take seconds to end a process that has let go of its lock."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # its parent has not looked yet
    except psutil.NoSuchProcess:
        return True


def _spawn(folder: StateFolder, port: int) -> None:
    """Starts the server and waits until it holds the folder's lock and answers, or has ended."""
    arguments = [sys.executable, "-m", "localaws", "--state-dir", str(folder.root), "--port", str(port)]
    process = None
    try:
        with folder.log.open("ab") as output, _signals_held():
            start = output.tell()
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,
                cwd="/",
                env=os.environ | {"PYTHONPATH": os.pathsep.join(_import_path())},
            )
        _until(lambda: process.poll() is not None or folder.note() is not None, _START_SECONDS)
    except BaseException:
        if process is not None:  # it holds no lock yet by which `down` would find it
            processes.stop(process, _STOP_SECONDS)
        raise
    if process.poll() is not None and folder.holder() is None:
        raise ControlError(f"The local AWS did not start. {_last_words(folder.log, start)}")


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """What would end this process waits until the block is over: a child that it started is known then."""
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(signal.getsignal(number)):  # neither ignored nor left to the system
                before[number] = signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _import_path() -> list[str]:
    """The child must find this very package, from wherever it was imported."""
    here = str(Path(__file__).resolve().parents[1])
    return [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def _await(folder: StateFolder) -> Running | None:
    """Waits until the server that holds the folder answers; None when it has let go of it."""
    _until(lambda: status(folder.root) is not None or folder.holder() is None, _START_SECONDS)
    return status(folder.root)


def _answers(endpoint_url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{endpoint_url}/_scones/health", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _last_words(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").strip().splitlines()
    last = lines[-1].removeprefix("error: ") if lines else "It said nothing."
    return f"{last} (log: {log})"


def _until(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
