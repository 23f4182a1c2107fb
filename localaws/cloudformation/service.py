"""CloudFormation's API: the query protocol, read and written by moto's parser and serializer."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import werkzeug
from werkzeug import Response

from localaws.cloudformation.deployment import Deployment, StoppedError
from localaws.cloudformation.errors import ValidationError
from localaws.cloudformation.operations import OPERATIONS
from localaws.cloudformation.requests import refuse_members
from localaws.cloudformation.stacks import Stacks
from localaws.errors import AwsError
from localaws.sagemaker.store import Store
from localaws.stack import Stack

Document = dict[str, Any]
log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0
_TIMES = {"CreationTime", "LastUpdatedTime", "DeletionTime", "Timestamp", "LastUpdatedTimestamp"}


class CloudFormationService:
    """Answers CloudFormation's API.

    Attributes:
        stack: the local AWS that it is part of.
        stacks: the stacks that it keeps.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.store = Store(stack.root / "cloudformation.sqlite")
        self.stacks = Stacks(stack, self.store)
        self._stopping = threading.Event()
        self._threads: set[threading.Thread] = set()

    def start(self) -> None:
        """Takes up what a killed server left half done: deletions go on, anything else goes back."""
        for stack in self.stacks.all():
            status = stack["StackStatus"]
            if status == "DELETE_IN_PROGRESS":
                self.run(stack["StackId"], Deployment.delete)
            elif status == "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":
                self.run(stack["StackId"], Deployment.clean_up)
            elif status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
                self.run(
                    stack["StackId"], lambda work: work.roll_back("The local AWS was stopped meanwhile.")
                )

    def close(self) -> None:
        self._stopping.set()
        for thread in list(self._threads):
            thread.join(_STOP_SECONDS)
        self.store.close()

    def run(self, stack_id: str, work: Callable[[Deployment], None]) -> None:
        """Goes on with a stack in a thread."""

        def body() -> None:
            try:
                work(Deployment(self.stacks, stack_id, self.client, self._stopping))
            except StoppedError:
                log.info("%s is taken up at the next start", stack_id)
            except Exception:
                log.exception("the operation on %s failed", stack_id)
                self._fail(stack_id)
            finally:
                self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=body, name=f"cloudformation {stack_id}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def client(self, service: str) -> Any:
        """A client of this local AWS."""
        return self.stack.client(service)

    def handle(self, request: werkzeug.Request) -> Response:
        """Answers one HTTP request. Raises AwsError."""
        from moto.core.parse import PROTOCOL_PARSERS
        from moto.core.serialize import SERIALIZERS, SerializationContext

        name = request.args.get("Action") or request.form.get("Action") or ""
        operation = OPERATIONS.get(name)
        if operation is None or name not in self._model.operation_names:
            raise AwsError("InvalidAction", f"The local AWS does not have {name} of CloudFormation.")
        model = self._model.operation_model(name)
        parsed = PROTOCOL_PARSERS["query"](model).parse(
            {
                "values": request.values,
                "body": "",
                "headers": {},
                "method": "",
                "url_path": "",
                "url_params": {},
            }
        )
        self._require(model, parsed)
        refuse_members(name, parsed)
        answer = operation(self, parsed)
        context = SerializationContext(str(uuid.uuid4()))
        wire = SERIALIZERS["query"](model, context).serialize(_with_times(answer))
        return Response(wire["body"], wire["status_code"], wire["headers"])

    @cached_property
    def _model(self) -> Any:
        from moto.core.utils import get_service_model

        return get_service_model("cloudformation")

    def _require(self, model: Any, request: Document) -> None:
        shape = model.input_shape
        for member in shape.required_members if shape else ():
            if member not in request:
                where = member[0].lower() + member[1:]
                raise ValidationError(
                    f"1 validation error detected: Value null at '{where}' failed to satisfy constraint: "
                    "Member must not be null"
                )

    def _fail(self, stack_id: str) -> None:
        """The last line of defence: a stack may not stay in progress with nobody at work."""
        stack = self.stacks.get(stack_id)
        status = stack["StackStatus"].replace("_IN_PROGRESS", "_FAILED")
        self.stacks.set_status(stack_id, status, "Internal failure: the local AWS's server.log says why.")


def _with_times(value: Any) -> Any:
    """An answer without inner and empty members, its epoch seconds as dates."""
    if isinstance(value, list):
        return [_with_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: datetime.fromtimestamp(item, UTC).replace(tzinfo=None) if key in _TIMES else _with_times(item)
        for key, item in value.items()
        if item is not None and not key.startswith("_")
    }
