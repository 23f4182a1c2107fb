"""The Lambda Runtime API of one worker: its runtime asks for the next event here, and brings the answer.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue
from typing import Any

MAX_RESPONSE_BYTES = 6_291_556
_INVOCATION = "/2018-06-01/runtime/invocation/"


@dataclass(frozen=True)
class Invocation:
    """One event on its way to a worker."""

    request_id: str
    payload: bytes
    function_arn: str
    trace_id: str
    client_context: str | None = None


class Kind(Enum):
    """What a worker says."""

    READY = "asked for its first event"
    RESPONSE = "answered"
    ERROR = "the handler raised"
    INIT_ERROR = "could not be initialized"
    TOO_LARGE = "answered more than Lambda hands on"


@dataclass(frozen=True)
class Message:
    """One thing that a worker said."""

    kind: Kind
    body: bytes = b""


class RuntimeApi:
    """Serves one worker on a loopback port of its own, since the API itself has no word for who is asking.

    Attributes:
        messages: what the worker said, in order.
    """

    def __init__(self) -> None:
        self.messages: SimpleQueue[Message] = SimpleQueue()
        self._events: SimpleQueue[tuple[Invocation, int] | None] = SimpleQueue()
        self._asked = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, name="runtime-api", daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def submit(self, invocation: Invocation, deadline_ms: int) -> None:
        """Hands an event to the worker; `deadline_ms` is in milliseconds since the epoch."""
        self._events.put((invocation, deadline_ms))

    def close(self) -> None:
        self._events.put(None)
        with contextlib.suppress(OSError):  # not every system shuts down a socket that listens
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, peer), daemon=True).start()

    def _serve(self, connection: socket.socket, peer: Any) -> None:
        # The worker may die at any moment: whoever waits for it sees that by its exit.
        with connection, contextlib.suppress(OSError):
            _Handler(connection, peer, self)  # type: ignore[arg-type]

    def next_event(self) -> tuple[Invocation, int] | None:
        if not self._asked:
            self._asked = True
            self.messages.put(Message(Kind.READY))
        return self._events.get()


class _Handler(BaseHTTPRequestHandler):
    server: RuntimeApi  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one write

    def do_GET(self) -> None:
        event = self.server.next_event() if self.path == _INVOCATION + "next" else None
        if event is None:
            self.close_connection = True
            return
        invocation, deadline_ms = event
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(invocation.payload)))
        self.send_header("Lambda-Runtime-Aws-Request-Id", invocation.request_id)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline_ms))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", invocation.function_arn)
        self.send_header("Lambda-Runtime-Trace-Id", invocation.trace_id)
        if invocation.client_context:
            self.send_header("Lambda-Runtime-Client-Context", invocation.client_context)
        self.end_headers()
        self.wfile.write(invocation.payload)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = _kind(self.path)
        too_large = kind is Kind.RESPONSE and len(body) > MAX_RESPONSE_BYTES
        # Before the worker hears: it may exit as soon as it does.
        self.server.messages.put(Message(Kind.TOO_LARGE) if too_large else Message(kind, body))
        self.send_response(413 if too_large else 202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass  # what a worker asks is no news


def _kind(path: str) -> Kind:
    if path.endswith("/init/error"):
        return Kind.INIT_ERROR
    return Kind.RESPONSE if path.endswith("/response") else Kind.ERROR
