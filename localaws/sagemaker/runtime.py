"""SageMaker Runtime: InvokeEndpoint, from the caller to a variant's model server and back.

Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import urllib3
from werkzeug import Request, Response

from localaws.sagemaker.capture import Exchange, utc_now
from localaws.sagemaker.fleets import LOG_GROUP, Fleet, Variant, VariantNotFoundError
from localaws.sagemaker.hosting import Hosted, hosting_of
from localaws.sagemaker.model_servers import ModelConnectionError, ModelTimeoutError, NotReadyError
from localaws.sagemaker.service import SageMakerService

LARGEST_BODY = 6 * 1024 * 1024
_PATH = re.compile(r"/endpoints/([^/]+)/invocations")
_DEFAULT_TYPE = "application/octet-stream"
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


class InvocationError(Exception):
    """An answer other than the model's; `code` is AWS's name for it, empty where AWS gives a bare status."""

    def __init__(self, status: int, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.members = members


@dataclass(frozen=True)
class ModelAnswer:
    """What the model's server said, and how long that took in seconds. Status 0: it gave no answer."""

    status: int
    body: bytes
    content_type: str
    custom_attributes: str | None
    seconds: float


def handle(service: SageMakerService, request: Request) -> Response:
    started = time.perf_counter()
    try:
        return _invoke(service, request, started)
    except InvocationError as error:
        body = {"Message": str(error), **error.members}
        headers = {"x-amzn-ErrorType": error.code} if error.code else {}
        return Response(json.dumps(body), error.status, headers, content_type="application/json")


def _invoke(service: SageMakerService, request: Request, started: float) -> Response:
    hosting = hosting_of(service)
    body = request.get_data(cache=False)
    if len(body) > LARGEST_BODY:
        message = f"HTTP content length exceeded {LARGEST_BODY} bytes."
        raise InvocationError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "", message)
    endpoint, variant, answer = _find_and_ask(service, request, body)
    overhead = time.perf_counter() - started - answer.seconds
    hosting.metrics.add(endpoint.name, variant.plan.name, answer.status or 500, answer.seconds, overhead)
    if not 200 <= answer.status < 300:
        raise _model_error(service, endpoint.name, answer)
    if endpoint.capture and endpoint.capture.wanted():
        endpoint.capture.add(_exchange(variant, body, request, answer))
    response = Response(answer.body, HTTPStatus.OK, content_type=answer.content_type)
    response.headers["x-Amzn-Invoked-Production-Variant"] = variant.plan.name
    if answer.custom_attributes:
        response.headers[_CUSTOM_ATTRIBUTES] = answer.custom_attributes
    return response


def _find_and_ask(
    service: SageMakerService, request: Request, body: bytes
) -> tuple[Hosted, Variant, ModelAnswer]:
    while True:
        endpoint = _endpoint(service, request)
        fleet = endpoint.choose()
        variant = _variant(endpoint.name, fleet, request)
        try:
            return endpoint, variant, _ask(variant, body, request)
        except NotReadyError as error:
            if not _endpoint(service, request).is_served_by(fleet):
                continue  # an update has just put these servers away: ask the new ones
            message = f"No instance of variant {variant.plan.name} is ready: its container starts again."
            raise InvocationError(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", message) from error


def _endpoint(service: SageMakerService, request: Request) -> Hosted:
    match = _PATH.fullmatch(request.path)
    if match is None or request.method != "POST":
        raise InvocationError(
            HTTPStatus.NOT_FOUND,
            "UnknownOperationException",
            f"{request.method} {request.path} is no operation that the local SageMaker Runtime has.",
        )
    endpoint = hosting_of(service).get(match[1])
    if endpoint is None:
        message = f"Endpoint {match[1]} of account {service.stack.account} not found."
        raise InvocationError(HTTPStatus.BAD_REQUEST, "ValidationError", message)
    return endpoint


def _variant(endpoint: str, fleet: Fleet, request: Request) -> Variant:
    try:
        return fleet.choose(request.headers.get("X-Amzn-SageMaker-Target-Variant"))
    except VariantNotFoundError as error:
        message = f"Variant {error} not found in endpoint {endpoint}."
        raise InvocationError(HTTPStatus.BAD_REQUEST, "ValidationError", message) from error


def _ask(variant: Variant, body: bytes, request: Request) -> ModelAnswer:
    """Asks the model. Raises NotReadyError when there is nobody to ask."""
    headers = {
        "Content-Type": request.headers.get("Content-Type") or _DEFAULT_TYPE,
        "Accept": request.headers.get("Accept") or "*/*",
    }
    if _CUSTOM_ATTRIBUTES in request.headers:
        headers[_CUSTOM_ATTRIBUTES] = request.headers[_CUSTOM_ATTRIBUTES]
    asked = time.perf_counter()
    try:
        answer = variant.post(body, headers)
    except ModelTimeoutError:
        return _no_answer(
            "Your invocation timed out while waiting for a response from container primary. Review the "
            "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again.",
            asked,
        )
    except ModelConnectionError:
        return _no_answer("The container closed the connection without an answer.", asked)
    return _model_answer(answer, time.perf_counter() - asked)


def _model_answer(answer: urllib3.BaseHTTPResponse, seconds: float) -> ModelAnswer:
    return ModelAnswer(
        answer.status,
        answer.data,
        answer.headers.get("Content-Type", _DEFAULT_TYPE),
        answer.headers.get(_CUSTOM_ATTRIBUTES),
        seconds,
    )


def _no_answer(message: str, asked: float) -> ModelAnswer:
    return ModelAnswer(0, message.encode(), "text/plain", None, time.perf_counter() - asked)


def _model_error(service: SageMakerService, endpoint: str, answer: ModelAnswer) -> InvocationError:
    stack, group = service.stack, f"{LOG_GROUP}/{endpoint}"
    whose = "client" if 400 <= answer.status < 500 else "server"
    said = answer.body.decode("utf-8", "replace")
    logs = f"https://{stack.region}.console.aws.amazon.com/cloudwatch/home?region={stack.region}"
    message = (
        f'Received {whose} error ({answer.status}) from primary with message "{said}". '
        f"See {logs}#logEventViewer:group={group} in account {stack.account} for more information."
    )
    return InvocationError(
        HTTPStatus.FAILED_DEPENDENCY,
        "ModelError",
        message,
        OriginalStatusCode=answer.status,
        OriginalMessage=said,
        LogStreamArn=stack.arn(f"log-group:{group}", service="logs"),
    )


def _exchange(variant: Variant, body: bytes, request: Request, answer: ModelAnswer) -> Exchange:
    return Exchange(
        variant=variant.plan.name,
        moment=utc_now(),
        body=body,
        content_type=request.headers.get("Content-Type") or _DEFAULT_TYPE,
        answer=answer.body,
        answer_type=answer.content_type,
        inference_id=request.headers.get("X-Amzn-SageMaker-Inference-Id"),
        custom_attributes=request.headers.get(_CUSTOM_ATTRIBUTES),
    )
