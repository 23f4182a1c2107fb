"""Errors as AWS writes them, in whichever protocol the request speaks."""

from __future__ import annotations

import json
import struct
import uuid
from xml.sax.saxutils import escape

from moto.core.request import Request

from localaws.operations import FORM, Operation
from localaws.wire import Answer


class AwsError(Exception):
    """An answer of AWS's other than success.

    Attributes:
        code: AWS's name for it, such as `InvalidDefinition`.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def unsupported(request: Request, operation: Operation) -> AwsError:
    """The error of an operation that AWS has, and this local AWS has not; AWS's own code for unknown ones."""
    message = f"The local AWS does not have {operation.name} of the service '{operation.service}'."
    protocol = _protocol(request, operation)
    if protocol == "s3":
        return AwsError("NotImplemented", message, 501)
    if protocol == "query":
        return AwsError("InvalidAction", message, 400)
    return AwsError("UnknownOperationException", message, 404 if protocol == "rest-json" else 400)


def internal_failure(operation: Operation) -> AwsError:
    """Our own or moto's failure."""
    message = (
        f"{operation.name} of '{operation.service}' failed inside the local AWS; its server.log says why."
    )
    return AwsError("InternalFailure", message, 500)


def answer(request: Request, operation: Operation, error: AwsError) -> Answer:
    """The error on the wire."""
    return _WRITERS[_protocol(request, operation)](error)


def _protocol(request: Request, operation: Operation) -> str:
    if request.headers.get("Smithy-Protocol") == "rpc-v2-cbor":
        return "cbor"
    if operation.service == "s3":
        return "s3"
    if request.headers.get("X-Amz-Target") or request.mimetype.startswith("application/x-amz-json"):
        return "json"
    if request.mimetype == FORM or "Action" in request.args:
        return "query"
    return "rest-json"


def _json(error: AwsError) -> Answer:
    body = {"__type": error.code, "message": str(error)}
    return error.status, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(body).encode()


def _rest_json(error: AwsError) -> Answer:
    body = {"Type": "User", "message": str(error), "Message": str(error)}
    headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", error.code)]
    return error.status, headers, json.dumps(body).encode()


def _query(error: AwsError) -> Answer:
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{error.code}</Code>"
        f"<Message>{escape(str(error))}</Message></Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return error.status, [("Content-Type", "text/xml")], body.encode()


def _s3(error: AwsError) -> Answer:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>{escape(str(error))}</Message>"
        f"<RequestId>{uuid.uuid4()}</RequestId></Error>"
    )
    return error.status, [("Content-Type", "application/xml")], body.encode()


def _cbor(error: AwsError) -> Answer:
    pairs = [("__type", error.code), ("message", str(error))]
    body = bytes([0xA0 | len(pairs)]) + b"".join(_cbor_text(text) for pair in pairs for text in pair)
    return error.status, [("Content-Type", "application/cbor"), ("Smithy-Protocol", "rpc-v2-cbor")], body


def _cbor_text(text: str) -> bytes:
    """A text string with a two-byte length (RFC 8949, major type 3)."""
    data = text.encode()[:0xFFFF]
    return struct.pack(">BH", 0x79, len(data)) + data


_WRITERS = {"json": _json, "rest-json": _rest_json, "query": _query, "s3": _s3, "cbor": _cbor}
