"""A record of what each role asks for, where `SCONES_CALL_LOG` names a file: what least privilege is held to.

What goes through the gateway is recorded with the identity that signed it; what the local SageMaker does by
itself under a role (a pipeline that starts a job) is recorded where it is done.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from localaws import authorization, identities
from localaws.authorization import Place
from localaws.operations import FORM, Operation
from localaws.wire import json_body

if TYPE_CHECKING:
    from moto.core.request import Request

VARIABLE = "SCONES_CALL_LOG"


class CallLog:
    """Appends a JSON line for each distinct `{"role", "action", "resource", "context"}`; thread-safe."""

    def __init__(self, path: Path, place: Place) -> None:
        self._path = path
        self._place = place
        self._known: set[tuple[Any, ...]] = set()
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls, place: Place) -> CallLog | None:
        path = os.environ.get(VARIABLE)
        return cls(Path(path), place) if path else None

    def hear(self, request: Request, operation: Operation) -> None:
        """Notes a request that a role has signed; the owner's own are not noted."""
        role = identities.caller(request.headers.get("Authorization", ""))
        if role:
            self.note(role, operation, _parameters(request, operation))

    def note(self, role: str, operation: Operation, parameters: dict[str, Any]) -> None:
        for ask in authorization.asks(self._place, operation, parameters):
            with self._lock:
                if (role, ask) in self._known:
                    continue
                self._known.add((role, ask))
                line = {
                    "role": role.rpartition("/")[2],
                    "action": ask.action,
                    "resource": ask.resource,
                    "context": dict(ask.context),
                }
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


def _parameters(request: Request, operation: Operation) -> dict[str, Any]:
    """What the request says, by the names of the API's reference, as far as it is about resources."""
    if "X-Amz-Target" in request.headers:
        return json_body(request)
    if request.mimetype == FORM:
        return dict(request.form) | _members(request.form)
    query = {_capital(name): value for name, value in request.args.items()}
    found = query | dict(operation.labels)
    if source := request.headers.get("X-Amz-Copy-Source"):
        found["CopySource"] = source
    if "/functions/" in request.path:
        found["FunctionName"] = _segment(request.path, "functions")
    elif request.path.startswith("/endpoints/"):
        found["EndpointName"] = _segment(request.path, "endpoints")
    return found


def _members(form: Any) -> dict[str, list[str]]:
    """`AlarmNames.member.1` is an item of `AlarmNames`."""
    lists: dict[str, list[str]] = {}
    for name, value in form.items():
        if ".member." in name:
            lists.setdefault(name.partition(".member.")[0], []).append(value)
    return lists


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _segment(path: str, after: str) -> str:
    parts = path.split("/")
    return unquote(parts[parts.index(after) + 1])
