"""The SageMaker API: JSON 1.1 in, JSON 1.1 out, each request checked against botocore's own service model."""

from __future__ import annotations

import importlib
import json
import logging
from functools import cache
from typing import Any

import botocore.session
from werkzeug import Request, Response

from localaws.documents import Document
from localaws.sagemaker.checks import check_request
from localaws.sagemaker.errors import SageMakerError, UnknownOperationError, ValidationError
from localaws.sagemaker.events import Listener, event
from localaws.sagemaker.jobs import Supervisor
from localaws.sagemaker.operations import HANDLERS
from localaws.sagemaker.transfers import TransferError
from localaws.stack import Stack

log = logging.getLogger(__name__)

# Each module registers its operations when it is imported, and may have `start(service)` (called once the
# gateway answers: take up what an earlier process left) and `close(service)` (end threads and processes).
MODULES = (
    "localaws.sagemaker.tags",
    "localaws.sagemaker.processing_jobs",
    "localaws.sagemaker.training_jobs",
    # After the training jobs: it begins when they are recovered, and closes before they do.
    "localaws.sagemaker.tuning.jobs",
    "localaws.sagemaker.registry",
    "localaws.sagemaker.models",
    "localaws.sagemaker.transform_jobs",
    "localaws.sagemaker.endpoints",
    "localaws.sagemaker.runtime",
    "localaws.sagemaker.pipelines",
    "localaws.sagemaker.pipeline_executions",
)


class SageMakerService:
    """Answers SageMaker's API and, through `localaws.sagemaker.runtime`, SageMaker Runtime's.

    Attributes:
        stack: where it runs.
        store: SageMaker's documents; `store.wait_for(predicate)` waits for a change without polling.
        jobs: runs the jobs, of all kinds.
        listeners: called with each state-change event, in the shape that SageMaker puts on EventBridge.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.store = stack.store
        self.jobs = Supervisor()
        self.listeners: list[Listener] = []
        self._modules = [importlib.import_module(name) for name in MODULES]

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
        except TransferError as error:  # a URI in the request
            return _answer(400, {"__type": "ValidationException", "message": str(error)})
        except Exception:  # the last line of defence: a server must answer; the log has the trace
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
        check_request(model.operation_model(name), request)
        return handler(self, request)

    def emit(self, detail_type: str, resources: list[str], detail: Document) -> None:
        """Tells the listeners of a state change, such as "SageMaker Training Job State Change".

        `resources` are the ARNs that it is about, `detail` is what SageMaker puts in the event.
        """
        message = event(self.stack, detail_type, resources, detail)
        for listener in list(self.listeners):
            try:
                listener(message)
            except Exception:  # what a listener gets wrong must not end the job that it hears of
                log.exception("%s: a listener failed", detail_type)


def _body(request: Request) -> Document:
    try:
        body = json.loads(request.get_data() or b"{}")
    except ValueError as error:
        raise ValidationError(f"The request's body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise ValidationError("The request's body is not a JSON object.")
    return body


def check(operation: str, request: Document) -> None:
    """Is the request one that the operation's model takes? Raises SageMakerError."""
    check_request(_service_model().operation_model(operation), request)


def described(operation: str, request: Document) -> Document:
    """The members of a Create request that the Describe operation answers unchanged."""
    members = _service_model().operation_model(operation).output_shape.members
    return {key: value for key, value in request.items() if key in members and value is not None}


@cache
def _service_model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def _answer(status: int, body: Document) -> Response:
    return Response(json.dumps(body), status, content_type="application/x-amz-json-1.1")
