"""Which operation of which service a request is, and whether replaying it would rebuild state.

The wire says it in four ways: `X-Amz-Target` (JSON protocols), `Action` in the form or the query (query and
EC2 protocols), the path (smithy's CBOR protocol), and method with path (the REST protocols, matched by moto's
router against botocore's models).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from botocore.exceptions import UnknownServiceError
from moto.core.request import Request
from moto.core.routing import get_service_router
from werkzeug.exceptions import HTTPException

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/(?:[^/,\s]+/)?([^/,\s]+)/aws4_request")
_CBOR_PATH = re.compile(r"/service/[^/]+/operation/([^/]+)")
FORM = "application/x-www-form-urlencoded"

# By the first word of their names, operations that leave what the account holds as it was.
_READS = re.compile(
    r"(Describe|Get|List|Head|Batch(Get|Describe|Check)|Search|Query|Scan|Lookup|Filter|Test|Simulate|Validate|"
    r"Estimate|Check|Decode|Preview|Select|Verify|Encrypt|Decrypt|ReEncrypt|Sign|GenerateData|GenerateRandom|"
    r"GenerateMac|Assume|Options|StartQuery|StopQuery|StartLiveTail)(?![a-z])"
)
# Operations that run something, or answer what is running: to replay them would run it again.
_RUNS = {
    "states": {
        "StartExecution",
        "StartSyncExecution",
        "StopExecution",
        "RedriveExecution",
        "SendTaskSuccess",
        "SendTaskFailure",
        "SendTaskHeartbeat",
        "GetActivityTask",
    },
    "lambda": {"Invoke", "InvokeAsync", "InvokeWithResponseStream"},
}
_METHODS_THAT_READ = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True)
class Operation:
    """An operation of a service.

    Attributes:
        service: the name that requests to it are signed for, such as `states`.
        name: such as `CreateStateMachine`; `PUT /path` where the operation cannot be told.
        changes: whether it changes what the account holds, and can be replayed.
        labels: what the path says in the REST protocols, such as `{"Bucket": …, "Key": …}`.
    """

    service: str
    name: str
    changes: bool
    labels: Mapping[str, str] = field(default_factory=dict)


def signing_name(request: Request) -> str | None:
    """The service that the request is signed for, by its header or, presigned, by its query."""
    found = _SCOPE.search(request.headers.get("Authorization", ""))
    if found is None and "X-Amz-Credential" in request.args:
        found = _SCOPE.search("Credential=" + request.args["X-Amz-Credential"])
    return found.group(1).lower() if found else None


def identify(request: Request) -> Operation:
    """Tells the operation. A request that is signed for nothing is S3's, as moto takes it.

    Reads the body where the operation is named there; the request must have cached it (`get_data()`).
    """
    service = signing_name(request) or "s3"
    labels: Mapping[str, str] = {}
    name = _name(request, service)
    if name is None:
        name, labels = _route(request, service)
    if name is None:
        changes = request.method not in _METHODS_THAT_READ
        return Operation(service, f"{request.method} {request.path}", changes)
    changes = not _READS.match(name) and name not in _RUNS.get(service, ())
    return Operation(service, name, changes, labels)


def _name(request: Request, service: str) -> str | None:
    """The operation, where a header, the form or a fixed path says it."""
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.rpartition(".")[2]
    cbor = _CBOR_PATH.fullmatch(request.path)
    if cbor:
        return cbor.group(1)
    if service == "s3":
        return None
    form = request.form if request.mimetype == FORM else {}
    return request.args.get("Action") or form.get("Action")


def _route(request: Request, service: str) -> tuple[str | None, Mapping[str, str]]:
    """The operation by method and path, and what the path says."""
    try:
        operation, labels = get_service_router(service).match(request)
    except (UnknownServiceError, HTTPException, NotImplementedError):
        return None, {}
    return operation.name, labels
