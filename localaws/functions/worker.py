"""One worker: a process that runs a function's handler through AWS's runtime interface client."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty

from localaws.functions.functions import Function
from localaws.functions.runtime_api import MAX_RESPONSE_BYTES, Invocation, Kind, Message, RuntimeApi
from localaws.identities import ADMINISTRATOR, access_key
from localaws.processes import popen, signal_group
from localaws.stack import Stack

INIT_SECONDS = 10  # what Lambda gives a runtime to start, on top of the function's own timeout
POLL_SECONDS = 0.05  # how often a busy worker's life and memory are looked at
_TOO_LARGE = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
MAX_OUTPUT_BYTES = 16 * 1024 * 1024  # of what one event prints; the rest is dropped


@dataclass(frozen=True)
class PlatformError:
    """A failure that the handler did not report itself, under the names that Lambda gives it.

    Attributes:
        status: as the REPORT line says it: "timeout" or "error".
    """

    status: str
    type: str
    reason: str

    def payload(self, request_id: str) -> bytes:
        message = self.reason
        if not self.type.startswith("Function."):
            message = f"RequestId: {request_id} Error: {message}"
        return json.dumps({"errorType": self.type, "errorMessage": message}).encode()


@dataclass(frozen=True)
class Outcome:
    """What came of one event.

    Attributes:
        payload: the handler's answer, or the error as JSON.
        failed: the payload is an error.
        platform_error: set when it was not the handler that reported the error.
        output: what the handler printed, errors included.
        duration: seconds that the handler had the event.
        init_duration: seconds that starting the worker took, if this was its first event.
        memory: MiB that the worker held at most, until now.
    """

    payload: bytes
    failed: bool
    platform_error: PlatformError | None
    output: bytes
    duration: float
    init_duration: float | None
    memory: int


class Worker:
    """A warm process for one function, which takes one event at a time.

    Attributes:
        log_stream: the stream in CloudWatch Logs that its output belongs to.
        idle_since: when it last had one, in monotonic seconds.
    """

    def __init__(self, function: Function, code: Path, packages: Path, stack: Stack) -> None:
        self.function = function
        self.log_stream = f"{datetime.now(UTC):%Y/%m/%d}/[{function.version}]{uuid.uuid4().hex}"
        self._killed = False
        self.idle_since = time.monotonic()
        self._init_seconds: float | None = None
        self._init_failure: Message | PlatformError | None = None
        self._peak = 0
        self._api = RuntimeApi()
        # A file and not a pipe: nobody has to read it while the handler runs, and what was printed before
        # the answer is in it when the answer is here. Appending lets it be emptied between events.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        fcntl.fcntl(self._output, fcntl.F_SETFL, os.O_APPEND)
        self._started = time.monotonic()
        self._process = popen(
            # -S: what can be imported is in the function's code and in `packages`, not in the server's
            # own environment. It also starts faster.
            [sys.executable, "-S", "-m", "awslambdaric", function.handler],
            cwd=code,
            env=self._environment(code, packages, stack),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def alive(self) -> bool:
        """It can take another event."""
        return not self._killed and self._process.poll() is None

    def initialize(self) -> None:
        """Waits until the handler's module is imported. What goes wrong is the outcome of the first event."""
        said = self._wait(self._started + INIT_SECONDS + self.function.timeout)
        self._init_seconds = time.monotonic() - self._started
        if isinstance(said, PlatformError) or said.kind is not Kind.READY:
            self._init_failure = said

    def run(self, invocation: Invocation) -> Outcome:
        """Hands the event to the handler and waits for what comes of it; nothing that it does raises here."""
        started, timeout = time.monotonic(), self.function.timeout
        said = self._init_failure
        if said is None:
            self._api.submit(invocation, deadline_ms=int((time.time() + timeout) * 1000))
            said = self._wait(started + timeout)
        return self._outcome(said, invocation.request_id, time.monotonic() - started)

    def kill(self) -> None:
        """Ends the process and what it started; who waits for its answer gets an error."""
        self._killed = True
        if self._process.poll() is None:
            signal_group(self._process, signal.SIGKILL)

    def close(self) -> None:
        """Ends the process and lets go of what it held. Not while it has an event: that is for `kill()`."""
        self.kill()
        self._process.wait()
        self._api.close()
        self._output.close()

    def _wait(self, deadline: float) -> Message | PlatformError:
        """What the worker says next, or why it will say nothing. `deadline` is in monotonic seconds."""
        while True:
            remaining = deadline - time.monotonic()
            exited = self._process.poll() is not None
            try:
                pause = 0 if exited else max(0, min(POLL_SECONDS, remaining))
                message = self._api.messages.get(timeout=pause)
            except Empty:
                message = None
            if self._memory() > self.function.memory:
                return PlatformError(
                    "error", "Runtime.OutOfMemory", "Runtime exited with error: signal: killed"
                )
            if message is not None:
                return message
            if exited:
                return PlatformError("error", "Runtime.ExitError", _exit_reason(self._process.returncode))
            if remaining <= 0:
                reason = f"Task timed out after {self.function.timeout:.2f} seconds"
                return PlatformError("timeout", "Sandbox.Timedout", reason)

    def _outcome(self, said: Message | PlatformError, request_id: str, duration: float) -> Outcome:
        if isinstance(said, Message) and said.kind is Kind.TOO_LARGE:
            said = PlatformError("error", "Function.ResponseSizeTooLarge", _TOO_LARGE)
        if isinstance(said, PlatformError):
            payload, failed, error = said.payload(request_id), True, said
        else:
            payload, failed, error = said.body, said.kind is not Kind.RESPONSE, None
        if isinstance(said, Message) and said.kind is Kind.INIT_ERROR:
            payload = json.dumps(json.loads(said.body) | {"requestId": request_id}).encode()
        init, self._init_seconds = self._init_seconds, None
        outcome = Outcome(payload, failed, error, self._printed(), duration, init, self._memory())
        if error or self._init_failure:
            self.kill()
        return outcome

    def _printed(self) -> bytes:
        """What was printed since the last time."""
        descriptor = self._output.fileno()
        output = os.pread(descriptor, MAX_OUTPUT_BYTES, 0)
        os.ftruncate(descriptor, 0)
        return output

    def _memory(self) -> int:
        """MiB that the process held at most.

        The resident peak, which is what Lambda counts. An address-space limit would count what is only
        reserved, and a handler would meet it as MemoryError, which it never sees on Lambda.
        """
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return self._peak
        _, found, rest = status.partition("VmHWM:")
        if found:  # a process that has ended but was not waited for has no memory
            self._peak = int(rest.split(maxsplit=1)[0]) // 1024
        return self._peak

    def _environment(self, code: Path, packages: Path, stack: Stack) -> dict[str, str]:
        """Lambda's documented variables, the function's own, and the way to this stack; nothing inherited."""
        function = self.function
        own = dict(function.environment)
        reserved = {
            "_HANDLER": function.handler,
            "AWS_REGION": stack.region,
            "AWS_DEFAULT_REGION": stack.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": log_group(function),
            "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_ACCESS_KEY_ID": access_key(function.role),
            "AWS_SECRET_ACCESS_KEY": ADMINISTRATOR,
            "AWS_SESSION_TOKEN": ADMINISTRATOR,
            "LAMBDA_TASK_ROOT": str(code),
            "LAMBDA_RUNTIME_DIR": str(packages),
        }
        defaults = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": str(packages),
        }
        return defaults | stack.client_environment(function.role) | own | reserved


def log_group(function: Function) -> str:
    """The function's group in CloudWatch Logs."""
    return f"/aws/lambda/{function.name}"


def _exit_reason(returncode: int) -> str:
    if returncode == 0:
        return "Runtime exited without providing a reason"
    if returncode > 0:
        return f"Runtime exited with error: exit status {returncode}"
    name = signal.strsignal(-returncode) or str(-returncode)
    return f"Runtime exited with error: signal: {name.lower()}"
