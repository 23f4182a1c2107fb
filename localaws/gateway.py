"""One WSGI application for all of AWS: says who answers a request, and answers when nobody can."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import werkzeug
from moto.core.request import Request

from localaws import errors, queues, s3_uploads
from localaws.calls import CallLog
from localaws.errors import AwsError
from localaws.functions.runtime import INVOCATIONS
from localaws.operations import Operation, identify, signing_name
from localaws.recorder import Recorder
from localaws.step_functions import requests as step_functions
from localaws.wire import Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

HEALTH = "/_scones/health"
_HEALTHY: Answer = (200, [("Content-Type", "application/json")], b'{"status": "ok"}')


class Service(Protocol):
    """A service of our own behind the gateway."""

    def start(self) -> None:
        """Called once the gateway answers: takes up what an earlier process left."""

    def handle(self, request: werkzeug.Request) -> werkzeug.Response:
        """Answers one request."""

    def close(self) -> None:
        """Ends its threads and processes."""


class Gateway:
    """Routes by credential scope and path.

    SageMaker, CloudFormation and Lambda invocations are ours; the rest is moto's.
    """

    def __init__(
        self,
        sagemaker: Service,
        functions: Service,
        cloudformation: Service,
        recorder: Recorder,
        calls: CallLog | None = None,
    ) -> None:
        self._sagemaker = sagemaker
        self._functions = functions
        self._cloudformation = cloudformation
        self._recorder = recorder
        self._calls = calls

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        request.get_data()  # caches it, for whoever needs it again
        status, headers, body = _HEALTHY if request.path == HEALTH else self._answer(request)
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    def _answer(self, request: Request) -> Answer:
        service = self._service(request)
        operation = identify(request)
        if self._calls:
            self._calls.hear(request, operation)
        try:
            if service is None:
                return self._through_moto(request, operation)
            response = service.handle(request)
            return response.status_code, list(response.headers.items()), response.get_data()
        except AwsError as error:
            return errors.answer(request, operation, error)
        except NotImplementedError:
            log.warning("moto does not have %s of %s", operation.name, operation.service)
            return errors.answer(request, operation, errors.unsupported(request, operation))
        except Exception:
            log.exception("%s of %s failed", operation.name, operation.service)
            return errors.answer(request, operation, errors.internal_failure(operation))

    def _service(self, request: Request) -> Service | None:
        if request.method == "POST" and INVOCATIONS.fullmatch(request.path):
            return self._functions
        if signing_name(request) == "sagemaker" and (
            request.path.startswith("/endpoints/")
            or request.headers.get("X-Amz-Target", "").startswith("SageMaker.")
        ):
            return self._sagemaker
        if signing_name(request) == "cloudformation":
            return self._cloudformation
        return None

    def _through_moto(self, request: Request, operation: Operation) -> Answer:
        if operation.service == "s3":
            if s3_uploads.is_missing(operation):
                raise errors.unsupported(request, operation)
            request = s3_uploads.checked(request)
        elif operation.service == "states":
            request = step_functions.prepared(request, operation)
        elif operation.service == "sqs" and operation.name == "ReceiveMessage":
            return queues.receive(self._recorder, request, operation)
        answer = self._recorder.answer(request, operation)
        if answer[0] == 404 and operation.service != "s3" and _is_page(answer):
            raise errors.unsupported(request, operation)
        return answer


def _is_page(answer: Answer) -> bool:
    """Whether this is a web framework's own "not found", for a path that moto has no operation at."""
    content_type = dict(answer[1]).get("Content-Type", "")
    return not answer[2] or (
        content_type.startswith("text/html") and answer[2].startswith(b"<!doctype html>")
    )
