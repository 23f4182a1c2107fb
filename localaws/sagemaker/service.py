"""The SageMaker API: JSON 1.1 in, JSON 1.1 out, each request checked against botocore's own service model."""

from __future__ import annotations

import importlib
import json
import logging
from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator
from werkzeug import Request, Response

from localaws.sagemaker.errors import SageMakerError, UnknownOperationError, ValidationError
from localaws.sagemaker.operations import HANDLERS
from localaws.stack import Stack

Document = dict[str, Any]
log = logging.getLogger(__name__)

# Each module registers its operations when it is imported, and may have `start(service)` (called once the
# gateway answers: take up what an earlier process left) and `close(service)` (end threads and processes).
MODULES = (
    "localaws.sagemaker.tags",
    "localaws.sagemaker.processing_jobs",
    "localaws.sagemaker.training_jobs",
    "localaws.sagemaker.registry",
    "localaws.sagemaker.models",
    "localaws.sagemaker.endpoints",
    "localaws.sagemaker.runtime",
    "localaws.sagemaker.pipelines",
    "localaws.sagemaker.pipeline_executions",
)


class SageMakerService:
    """Answers SageMaker's API and, through `localaws.sagemaker.runtime`, SageMaker Runtime's."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.store = stack.store
        self._modules = [importlib.import_module(name) for name in MODULES]
        self._validator = ParamValidator()

    def start(self) -> None:
        for module in self._modules:
            if hasattr(module, "start"):
                module.start(self)

    def close(self) -> None:
        for module in reversed(self._modules):
            if hasattr(module, "close"):
                module.close(self)

    def handle(self, request: Request) -> Response:
        """Answers one HTTP request; what goes wrong inside becomes AWS's own error shape."""
        if request.path.startswith("/endpoints/"):
            from localaws.sagemaker import runtime

            return runtime.handle(self, request)
        name = request.headers.get("X-Amz-Target", "").partition(".")[2]
        try:
            return _answer(200, self.call(name, _body(request)))
        except SageMakerError as error:
            return _answer(error.status, {"__type": error.code, "message": str(error)})
        except Exception:  # noqa: BLE001 - the last line of defence: a server must answer; the log has the trace
            log.exception("%s failed", name)
            message = f"{name} failed inside the local SageMaker; its server log says why."
            return _answer(500, {"__type": "InternalFailure", "message": message})

    def call(self, name: str, request: Document) -> Document:
        """Runs an operation as if it had come over HTTP. Raises SageMakerError."""
        handler = HANDLERS.get(name)
        model = _service_model()
        if handler is None:
            known = name in model.operation_names
            what = "is not one that the local SageMaker has" if known else "is no operation of SageMaker"
            raise UnknownOperationError(f"{name or 'A request without X-Amz-Target'} {what}.")
        operation = model.operation_model(name)
        self._validate(operation, request)
        return handler(self, request)

    def _validate(self, operation: OperationModel, request: Document) -> None:
        shape = operation.input_shape
        if shape is None:
            return
        report = self._validator.validate(_with_datetimes(request, shape), shape)
        if report.has_errors():
            raise ValidationError(f"{operation.name}: {report.generate_report()}")


def _body(request: Request) -> Document:
    try:
        body = json.loads(request.get_data() or b"{}")
    except ValueError as error:
        raise ValidationError(f"The request's body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise ValidationError("The request's body is not a JSON object.")
    return body


def _with_datetimes(value: Any, shape: Shape) -> Any:
    """botocore's validator wants times as Python has them, not as the wire does."""
    if shape.type_name == "timestamp" and isinstance(value, (int, float)):
        return datetime.fromtimestamp(value)
    if shape.type_name == "structure" and isinstance(value, dict):
        return {
            key: _with_datetimes(item, shape.members[key]) if key in shape.members else item
            for key, item in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_with_datetimes(item, shape.member) for item in value]
    return value


@cache
def _service_model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def _answer(status: int, body: Document) -> Response:
    return Response(json.dumps(body), status, content_type="application/x-amz-json-1.1")
