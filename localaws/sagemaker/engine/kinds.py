"""What a type of step must know to do, and what all of them share."""

from __future__ import annotations

import logging
import secrets
import string
from dataclasses import dataclass, field

from localaws.documents import Document
from localaws.sagemaker.engine import retries
from localaws.sagemaker.engine.context import Context
from localaws.sagemaker.engine.definition import Step
from localaws.sagemaker.errors import SageMakerError

log = logging.getLogger(__name__)


class StepError(Exception):
    """A step failed: the message is its FailureReason, `exception` what retry policies call it."""

    def __init__(self, reason: str, exception: str | None = None) -> None:
        super().__init__(reason)
        self.exception = exception


@dataclass(frozen=True)
class Result:
    """How a step ended.

    Attributes:
        status: Succeeded, Failed or Stopped.
        reason: of a failure.
        exception: of a failure: the type that retry policies know it by.
        properties: what later steps may refer to.
        metadata: what ListPipelineExecutionSteps shows, if that is more than when the step began.
    """

    status: str
    reason: str = ""
    exception: str | None = None
    properties: Document = field(default_factory=dict)
    metadata: Document | None = None


@dataclass(frozen=True)
class Work:
    """One step of one execution; `record` is as it was last read, and empty while there is none yet."""

    context: Context
    step: Step
    record: Document = field(default_factory=dict)


class Kind:
    """How the steps of a type are done; by itself, a step that needs nothing and never ends.

    Any of these may raise ExpressionError or StepError, which end the step.
    """

    def operation(self) -> str | None:
        """The SageMaker operation that it cannot do without."""
        return None

    def prepare(self, _work: Work) -> Document:
        """Members for the record, which are on disk before `start` is called."""
        return {}

    def start(self, _work: Work) -> Document:
        """Begins. What it answers is added to the record.

        After a kill it is called again with the same record, and must not do again what was done.
        """
        return {}

    def look(self, _work: Work) -> Result | None:
        """How it ended, or None while it runs. Called often."""
        return None

    def stop(self, _work: Work) -> None:
        """Asks it to end."""


def call(context: Context, operation: str, request: Document) -> Document:
    """Runs a SageMaker operation; what it refuses ends the step, in the words that pipelines use."""
    try:
        return context.call(operation, request)
    except SageMakerError as error:
        raise StepError(_refused(operation, error), retries.of_refused_call(error)) from error
    except Exception as error:  # an operation's own mistake; over HTTP it would be a 500
        log.exception("%s failed inside the local SageMaker", operation)
        reason = f"InternalServerError: {operation}: {type(error).__name__}: {error}"
        raise StepError(reason, retries.SERVICE_FAULT) from error


def _refused(operation: str, error: SageMakerError) -> str:
    kind = "ClientError" if error.status < 500 else "InternalServerError"
    return f"{kind}: Failed to invoke sagemaker:{operation}. Error Details: {error}"


def random_text(length: int) -> str:
    """Random letters and digits."""
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(length))
