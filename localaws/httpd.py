"""The HTTP/1.1 server under the gateway: a thread a connection, kept alive, bodies read whole.

werkzeug's own server closes every connection after its answer. A workflow makes thousands of small calls, so
this one keeps them open, which is safe because a body is always read to its end before the application runs.
A thread a connection rather than a pool: a state machine calls a function which calls an endpoint, all
through this server, and a pool of a fixed size could be filled by callers that wait for each other.
"""

from __future__ import annotations

import logging
import socketserver
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import MotoRequestHandler

from localaws import browsers
from localaws.wire import as_input

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
_IDLE_SECONDS = 600
_WITHOUT_BODY = {"204", "304"}


class Server(socketserver.ThreadingTCPServer):
    """Listens on the loopback interface only, from the moment it is made; serves from `serve_forever()` on.

    Raises OSError when the port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    # What werkzeug's handler asks its server for.
    multithread = True
    multiprocess = False
    ssl_context = None
    _server_version = "scones"

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port), Handler)
        self.port: int = self.server_address[1]
        self.app: WSGIApplication = _not_yet

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        log.exception("a connection from %s broke", client_address)


def _not_yet(environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:  # noqa: ARG001
    start_response("503 Service Unavailable", [("Retry-After", "1")])
    return [b""]


def _refuse(environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:  # noqa: ARG001
    start_response("403 Forbidden", [("Content-Type", "text/plain")])
    return [b"The local AWS does not answer web pages of other sites, nor other names of this machine.\n"]


class Handler(MotoRequestHandler):
    """Reads a request, runs the application, writes its answer in as few packets as it can."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    server: Any

    def handle_expect_100(self) -> bool:
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def run_wsgi(self) -> None:
        self.environ = environ = self.make_environ()
        if not self._read_body(environ):
            return
        app = _refuse if browsers.is_foreign(environ) else self.server.app
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:  # noqa: ARG001
            started[:] = [status, headers]
            return None

        try:
            body = b"".join(app(environ, start_response))
            self._answer(started[0], started[1], body)
            self.wfile.flush()
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:
            # The application answers its own failures; what comes here cannot be answered any more.
            log.exception("%s %s was cut off", self.command, self.path)
            self.close_connection = True

    def _read_body(self, environ: WSGIEnvironment) -> bool:
        """Replaces the input by the whole body; says whether it could be read."""
        try:
            if environ.get("wsgi.input_terminated"):
                body = environ["wsgi.input"].read()
            else:
                length = int(environ.get("CONTENT_LENGTH") or 0)
                body = self.rfile.read(length)
                if len(body) < length:
                    raise ConnectionError("the client went away in the middle of a body")
        except (OSError, ValueError):
            self.close_connection = True
            return False
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.update(as_input(body))
        return True

    def _answer(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        code, _, reason = status.partition(" ")
        bare = self.command == "HEAD" or code in _WITHOUT_BODY
        names = {name.lower() for name, _ in headers}
        if "content-length" not in names and not bare:
            headers = [*headers, ("Content-Length", str(len(body)))]
        self.send_response_only(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        if "date" not in names:
            self.send_header("Date", self.date_time_string())
        self.end_headers()
        if not bare:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
