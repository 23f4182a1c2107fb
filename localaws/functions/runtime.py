"""AWS Lambda's Invoke: finds the deployed function, lends it a worker, answers as Lambda answers.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import json
import logging
import re
import secrets
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import BotoCoreError, ClientError
from werkzeug import Request, Response

from localaws.functions import destinations, report
from localaws.functions.errors import (
    InvalidParameterValueError,
    InvalidRequestContentError,
    InvokeError,
    RequestTooLargeError,
)
from localaws.functions.functions import Function, find
from localaws.functions.logs import LogWriter
from localaws.functions.packages import remove_leftovers, runtime_packages, unpack
from localaws.functions.pool import Pool
from localaws.functions.runtime_api import Invocation
from localaws.functions.worker import Outcome, Worker, log_group
from localaws.stack import Stack

log = logging.getLogger(__name__)

INVOCATIONS = re.compile(r"/2015-03-31/functions/(?P<function>[^/]+)/invocations")
MAX_REQUEST_BYTES = 6_291_456
MAX_EVENT_BYTES = 1_048_576  # of an asynchronous one
LOG_TAIL_BYTES = 4096
IDLE_SECONDS = 300
RETIRE_EVERY_SECONDS = 15
ASYNC_RETRY_SECONDS = (60, 120)
ASYNC_WORKERS = 8


class FunctionRuntime:
    """Runs the functions that moto's Lambda keeps, in worker processes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._code = stack.folder("functions", "code")
        self._packages = runtime_packages(stack.folder("functions", "packages"))
        self._logs = LogWriter(stack)
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str], tuple[Function, Pool]] = {}
        self._closing = threading.Event()
        self._events = ThreadPoolExecutor(ASYNC_WORKERS, thread_name_prefix="function-events")

    def start(self) -> None:
        """Called once the gateway answers."""
        remove_leftovers(self._code)
        self._logs.start()
        threading.Thread(target=self._retire, name="function-retirement", daemon=True).start()

    def close(self) -> None:
        """Ends all workers, also those that have an event; writes the logs that are left."""
        self._closing.set()
        self._events.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            pools = [pool for _, pool in self._pools.values()]
            self._pools.clear()
        for pool in pools:
            pool.kill()
        self._logs.close()

    def handle(self, request: Request) -> Response:
        """Answers `POST /2015-03-31/functions/<name>/invocations`."""
        request_id = str(uuid.uuid4())
        try:
            response = self._invoke(request, request_id)
        except InvokeError as error:
            body = json.dumps({"Type": error.fault, "Message": str(error)})
            response = Response(body, error.status, content_type="application/json")
            response.headers["x-amzn-ErrorType"] = error.code
        response.headers["x-amzn-RequestId"] = request_id
        return response

    def invoke(self, function: Function, invocation: Invocation) -> tuple[Outcome, list[str]]:
        """Runs one event to its end. Returns what came of it, and its log lines. Raises InvokeError."""
        pool = self._pool(function)
        worker = pool.acquire(function.concurrency)
        try:
            outcome = worker.run(invocation)
        finally:
            pool.release(worker)
        lines = report.lines(function, invocation.request_id, outcome)
        self._logs.write((log_group(function), worker.log_stream, function.role), lines)
        return outcome, lines

    def _invoke(self, request: Request, request_id: str) -> Response:
        match = INVOCATIONS.fullmatch(request.path)
        assert match is not None, "the gateway sends no other paths"
        function = find(self._stack, match["function"], request.args.get("Qualifier"))
        mode = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        invocation = Invocation(
            request_id=request_id,
            payload=_payload(request, MAX_EVENT_BYTES if mode == "Event" else MAX_REQUEST_BYTES),
            function_arn=function.arn,
            trace_id=request.headers.get("X-Amzn-Trace-Id") or _trace_id(),
            client_context=_client_context(request),
        )
        if mode == "DryRun":
            return Response(status=204)
        if mode == "Event":
            self._events.submit(self._run_event, function.arn, invocation, 0)
            return Response(status=202)
        if mode != "RequestResponse":
            raise InvalidParameterValueError(
                f"{mode} is no invocation type: RequestResponse, Event or DryRun."
            )
        outcome, lines = self.invoke(function, invocation)
        response = Response(outcome.payload, content_type="application/json")
        response.headers["X-Amz-Executed-Version"] = function.version
        response.headers["X-Amzn-Trace-Id"] = invocation.trace_id
        if outcome.failed:
            response.headers["X-Amz-Function-Error"] = "Unhandled"
        if request.headers.get("X-Amz-Log-Type") == "Tail":
            tail = "".join(lines).encode()[-LOG_TAIL_BYTES:]
            response.headers["X-Amz-Log-Result"] = base64.b64encode(tail).decode()
        return response

    def _run_event(self, arn: str, invocation: Invocation, attempt: int) -> None:
        """An asynchronous event; a failed one is tried again after one and after two minutes, as on AWS."""
        function, outcome = None, None
        try:
            function = find(self._stack, arn)
            outcome = self.invoke(function, invocation)[0]
        except InvokeError as error:
            log.warning("asynchronous event %s for %s: %s", invocation.request_id, arn, error)
        except Exception:  # nobody waits for this: a disk that is full must not be silent
            log.exception("asynchronous event %s for %s", invocation.request_id, arn)
        if function is None or (outcome and not outcome.failed):
            return
        if attempt < function.async_retries:
            pause = ASYNC_RETRY_SECONDS[min(attempt, len(ASYNC_RETRY_SECONDS) - 1)]
            timer = threading.Timer(pause, self._submit_again, (arn, invocation, attempt + 1))
            timer.daemon = True
            timer.start()
        elif function.on_failure:
            self._tell(function, invocation, attempt + 1, outcome)

    def _tell(
        self, function: Function, invocation: Invocation, attempts: int, outcome: Outcome | None
    ) -> None:
        """Its OnFailure destination of an event that it failed at each time."""
        text = destinations.record(function, invocation, attempts, outcome)
        try:
            destinations.send(self._stack, function.role, str(function.on_failure), text)
        except (ClientError, BotoCoreError, destinations.UnsupportedDestinationError) as error:
            log.warning("asynchronous event %s, %s: %s", invocation.request_id, function.on_failure, error)

    def _submit_again(self, arn: str, invocation: Invocation, attempt: int) -> None:
        if not self._closing.is_set():
            self._events.submit(self._run_event, arn, invocation, attempt)

    def _pool(self, function: Function) -> Pool:
        """The function's pool; a new one after its code or configuration changed."""
        key = (function.name, function.version)
        with self._lock:
            current, pool = self._pools.get(key, (None, None))
            if pool is not None and current == function:
                return pool
            code = unpack(function.code, self._code)
            fresh = Pool(lambda: Worker(function, code, self._packages, self._stack))
            self._pools[key] = (function, fresh)
        if pool is not None:
            pool.close()
        return fresh

    def _retire(self) -> None:
        while not self._closing.wait(RETIRE_EVERY_SECONDS):
            with self._lock:
                pools = [pool for _, pool in self._pools.values()]
            for pool in pools:
                pool.retire(IDLE_SECONDS)


def _payload(request: Request, limit: int) -> bytes:
    payload = request.get_data() or b"{}"
    if len(payload) > limit:
        raise RequestTooLargeError(
            f"{len(payload)} byte payload is too large for Invoke (limit {limit} bytes)"
        )
    try:
        json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestContentError(f"Could not parse request body into json: {error}") from error
    return payload


def _client_context(request: Request) -> str | None:
    encoded = request.headers.get("X-Amz-Client-Context")
    if not encoded:
        return None
    try:
        context = base64.b64decode(encoded, validate=True).decode()
        json.loads(context)
    except ValueError as error:
        raise InvalidRequestContentError(
            "Client context must be a valid Base64-encoded JSON object."
        ) from error
    return context


def _trace_id() -> str:
    """In X-Ray's format: version, seconds since the epoch in hexadecimal, 96 random bits."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Sampled=0"
