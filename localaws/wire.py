"""Requests and answers as they pass through the gateway: whole, in memory."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from moto.core.request import Request
from werkzeug.test import run_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers, body."""


def as_input(body: bytes) -> WSGIEnvironment:
    """A body in a WSGI environment; said to end by itself, it is read at once and not piece by piece."""
    return {
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "CONTENT_LENGTH": str(len(body)),
    }


def call(app: WSGIApplication, environ: WSGIEnvironment, body: bytes) -> Answer:
    """Runs a WSGI application in this thread."""
    environ = {**environ, **as_input(body)}
    chunks, status, headers = run_wsgi_app(app, environ, buffered=True)
    return int(status.split(" ", 1)[0]), list(headers.items()), b"".join(chunks)


def replaced(request: Request, body: bytes, *, without: Iterable[str] = (), **environ: str) -> Request:
    """The request with another body, without some keys of its WSGI environment, and with others set."""
    changed: dict[str, Any] = {
        key: value for key, value in request.environ.items() if key not in set(without)
    }
    changed.pop("werkzeug.request", None)
    changed.update(environ)
    changed.update(as_input(body))
    made = Request(changed)
    made.get_data()
    return made


def json_body(request: Request) -> dict[str, Any]:
    """The body of a JSON-protocol request; an empty one where it is none (moto then says what is wrong)."""
    content = request.get_data()
    try:
        if request.headers.get("Content-Encoding") == "gzip":  # botocore's way with large PutMetricData
            content = gzip.decompress(content)
        body = json.loads(content or b"{}")
    except (ValueError, OSError, EOFError, zlib.error):
        return {}
    return body if isinstance(body, dict) else {}


def with_json(request: Request, body: dict[str, Any]) -> Request:
    return replaced(request, json.dumps(body).encode())
