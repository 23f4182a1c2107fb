"""SageMaker's own errors, as its JSON 1.1 protocol names them."""

from __future__ import annotations


class SageMakerError(Exception):
    """An answer other than 200; `code` is AWS's name for it."""

    code = "ValidationException"
    status = 400


class ValidationError(SageMakerError):
    """The request is not one that SageMaker would take."""

    code = "ValidationException"


class ResourceNotFoundError(SageMakerError):
    """The named resource is not there.

    Newer operations say so; older ones, such as DescribeTrainingJob, answer a ValidationException.
    """

    code = "ResourceNotFound"


class ResourceInUseError(SageMakerError):
    """The name is taken, or the resource is busy."""

    code = "ResourceInUse"


class ResourceLimitExceededError(SageMakerError):
    """More than the account may have."""

    code = "ResourceLimitExceeded"


class ConflictError(SageMakerError):
    """The resource is in a state that does not allow this."""

    code = "ConflictException"


class UnknownOperationError(SageMakerError):
    """The operation exists on AWS, but not here."""

    code = "UnknownOperationException"
