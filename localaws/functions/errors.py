"""What Invoke answers when it does not run the function, with Lambda's own codes and HTTP status."""

from __future__ import annotations


class InvokeError(Exception):
    """Base of the errors that Invoke itself answers with; see Lambda's API reference, Invoke, "Errors"."""

    code = "ServiceException"
    status = 500
    fault = "Service"


class InvalidParameterValueError(InvokeError):
    """A header or a parameter of the request has a value that Invoke does not take."""

    code, status, fault = "InvalidParameterValueException", 400, "User"


class InvalidRequestContentError(InvokeError):
    """The payload is not JSON."""

    code, status, fault = "InvalidRequestContentException", 400, "User"


class FunctionNotFoundError(InvokeError):
    """There is no such function, version or alias."""

    code, status, fault = "ResourceNotFoundException", 404, "User"


class RequestTooLargeError(InvokeError):
    """The payload is over Lambda's limit."""

    code, status, fault = "RequestTooLargeException", 413, "User"


class TooManyRequestsError(InvokeError):
    """All of the function's concurrency is in use."""

    code, status, fault = "TooManyRequestsException", 429, "User"


class InvalidZipFileError(InvokeError):
    """The deployment package cannot be unpacked."""

    code, status, fault = "InvalidZipFileException", 502, "Service"


class InvalidRuntimeError(InvokeError):
    """The function asks for something that this runtime does not have."""

    code, status, fault = "InvalidRuntimeException", 502, "Service"
