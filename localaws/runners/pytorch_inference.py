"""The model server that stands in for the PyTorch inference container.

It speaks SageMaker's container contract on a loopback port: `GET /ping` answers 200 once the model is loaded,
`POST /invocations` answers a request. The model is in /opt/ml/model; `SAGEMAKER_BIND_TO_PORT` names the port.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from localaws.runners.pytorch_handlers import JSON, RequestError, load


class Model(Protocol):
    """A loaded model."""

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Answers one request: body and content type. Raises RequestError."""


class ModelServer(ThreadingHTTPServer):
    """Answers on 127.0.0.1, a thread a connection; at most `workers` requests are computed at a time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, model: Model, workers: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.model = model
        self.turns = threading.BoundedSemaphore(workers)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a caller that went away is no news
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # head and body leave in one packet

    server: ModelServer

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/ping" else 404, b"", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/invocations":
            self._answer(404, b"", "text/plain")
            return
        accept = self.headers.get("Accept") or "*/*"
        if accept == "*/*":
            accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or JSON
        try:
            with self.server.turns:
                answer = self.server.model.answer(body, self.headers.get("Content-Type") or JSON, accept)
        except RequestError as error:
            print(f"POST /invocations {error.status}: {error}", flush=True)
            self._answer(error.status, str(error).encode(), "text/plain; charset=utf-8")
        else:
            self._answer(200, *answer)

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def serve(load_model: Callable[[Path], Model]) -> int:
    """Loads the model, and answers until SIGTERM."""
    started = time.monotonic()
    workers = int(os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or os.cpu_count() or 1)
    # One request, one core: with as many requests at a time as there are cores, more threads only wait.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    model_dir = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "model"
    try:
        model = load_model(model_dir)
    except Exception:  # noqa: BLE001 - the model's own code may raise anything; the log is where it belongs
        traceback.print_exc()
        print("The model could not be loaded.", file=sys.stderr)
        return 1
    server = ModelServer(int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080), model, workers)
    # Not from the handler itself: shutdown() waits for the loop that the signal interrupted.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"Model loaded in {time.monotonic() - started:.1f} s; {workers} requests at a time", flush=True)
    server.serve_forever(poll_interval=0.05)
    return 0


if __name__ == "__main__":
    sys.exit(serve(load))
