"""One WSGI application for all of AWS: says who answers a request, and answers when nobody can."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from werkzeug import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

HEALTH = "/_scones/health"
_INVOCATIONS = re.compile(r"/2015-03-31/functions/[^/]+/invocations")
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/(?:[^/,\s]+/)?([^/,\s]+)/aws4_request")


class Service(Protocol):
    """A service of our own behind the gateway."""

    def start(self) -> None:
        """Called once the gateway answers: takes up what an earlier process left."""

    def handle(self, request: Request) -> Response:
        """Answers one request."""

    def close(self) -> None:
        """Ends its threads and processes."""


class Gateway:
    """Routes by credential scope and path: SageMaker and Lambda invocations to us, the rest to moto."""

    def __init__(self, sagemaker: Service, functions: Service, moto: WSGIApplication) -> None:
        self._sagemaker = sagemaker
        self._functions = functions
        self._moto = moto

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        request.max_form_memory_size = None
        if request.path == HEALTH:
            return _json(200, {"status": "ok"})(environ, start_response)
        service = self._service(request)
        if service is None:
            return self._moto(environ, start_response)
        return _guarded(service, request)(environ, start_response)

    def _service(self, request: Request) -> Service | None:
        if request.method == "POST" and _INVOCATIONS.fullmatch(request.path):
            return self._functions
        if signing_name(request) == "sagemaker" and (
            request.path.startswith("/endpoints/")
            or request.headers.get("X-Amz-Target", "").startswith("SageMaker.")
        ):
            return self._sagemaker
        return None


def signing_name(request: Request) -> str | None:
    """The service that the request is signed for, by its header or, presigned, by its query."""
    found = _SCOPE.search(request.headers.get("Authorization", ""))
    if found is None and "X-Amz-Credential" in request.args:
        found = _SCOPE.search("Credential=" + request.args["X-Amz-Credential"])
    return found.group(1).lower() if found else None


def _guarded(service: Service, request: Request) -> Response:
    """The last line of defence: a client must get an answer, and the log the trace."""
    try:
        return service.handle(request)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        message = "The local AWS failed on this request; its server.log says why."
        response = _json(500, {"__type": "InternalFailure", "message": message, "Message": message})
        response.headers["x-amzn-ErrorType"] = "InternalFailure"
        return response


def _json(status: int, body: dict[str, str]) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
