"""moto with a memory: records what changes it, and replays that at the next start."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY, Request

from localaws import determinism, s3_uploads
from localaws.journal import Entry, Journal
from localaws.operations import Operation
from localaws.wire import Answer, call

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

_KEPT = {"REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REQUEST_URI", "CONTENT_TYPE"}
# Of no effect on what is stored; the security token is a secret of the user's.
_DROPPED = {
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_AMZ_SDK_INVOCATION_ID",
    "HTTP_AMZ_SDK_REQUEST",
    "HTTP_CONNECTION",
    "HTTP_EXPECT",
    # The condition held; when older writes are left out of the replay, it might not.
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_USER_AGENT",
    "HTTP_X_AMZ_SECURITY_TOKEN",
}
_SECRET = re.compile(r"(?<=X-Amz-Security-Token=)[^&]*")
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")
_HOST_OF_OLD = "{host}"


class Recorder:
    """Answers requests through moto, and journals what changed something before the client hears of it.

    Changes are made one at a time in each service, so that the journal has them in the order of their effect.
    """

    def __init__(self, moto: WSGIApplication, journal: Journal, port: int) -> None:
        self._moto = moto
        self._journal = journal
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._locks: dict[str, Any] = {}

    def answer(
        self,
        request: Request,
        operation: Operation,
        changed: Callable[[Answer], bool] = lambda answer: 200 <= answer[0] < 300,
    ) -> Answer:
        """Answers a request whose body is cached in it; `changed` tells an answer that is worth recording."""
        if not operation.changes:
            return call(self._moto, request.environ, request.get_data())
        seed, body = determinism.draw_seed(), request.get_data()
        with self._locks.setdefault(operation.service, threading.RLock()):
            number, moment = self._journal.next_number(), time.time()
            with determinism.reproducible(seed, moment):
                answer = call(self._moto, request.environ, body)
            if changed(answer):
                environ, labels = self._kept(request.environ), _labels(request, operation, answer)
                self._journal.append(
                    Entry(number, operation.service, operation.name, moment, seed, environ, body, labels)
                )
        return answer

    def replay(self) -> int:
        """Brings moto to where the journal ends; says how many requests that took."""
        count = 0
        with _without_calls_out():
            for entry in self._journal.entries():
                count += 1
                self._replay(entry)
        return count

    def _replay(self, entry: Entry) -> None:
        """One request that cannot be replayed must not keep all others from being there."""
        what = f"request {entry.number}, {entry.operation} of {entry.service}"
        try:
            with determinism.reproducible(entry.seed, entry.moment):
                if (entry.service, entry.operation) == ("s3", "PutObject"):
                    s3_uploads.put_again(self._revived(entry), entry.body)
                    return
                status, _, body = call(self._moto, self._revived(entry), entry.body)
        except Exception:
            log.exception("%s, failed at its replay", what)
            return
        if not 200 <= status < 300:
            said = body[:500].decode(errors="replace")
            log.warning("%s, was answered with %d at its replay: %s", what, status, said)

    def _kept(self, environ: WSGIEnvironment) -> dict[str, str]:
        kept = {
            key: value
            for key, value in environ.items()
            if key in _KEPT or (key.startswith("HTTP_") and key not in _DROPPED)
        }
        authorization = kept.get("HTTP_AUTHORIZATION", "")
        if authorization:
            kept["HTTP_AUTHORIZATION"] = authorization.split(",")[0]  # the scope, not the signature
        host = kept.get("HTTP_HOST", "")
        if host in self._hosts:
            kept["HTTP_HOST"] = _HOST_OF_OLD  # the next server may have another port
        for key in ("QUERY_STRING", "RAW_URI", "REQUEST_URI"):
            kept[key] = _SECRET.sub("", kept.get(key, ""))
        names = environ.get(PRESERVED_HEADER_NAMES_ENVIRON_KEY)
        if names:
            kept[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = json.dumps(names)
        return kept

    def _revived(self, entry: Entry) -> WSGIEnvironment:
        host, _, port = self._hosts[0].partition(":")
        environ: WSGIEnvironment = {
            **entry.environ,
            "SCRIPT_NAME": "",
            "SERVER_NAME": host,
            "SERVER_PORT": port,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": host,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if environ.get("HTTP_HOST") == _HOST_OF_OLD:
            environ["HTTP_HOST"] = self._hosts[0]
        names = entry.environ.get(PRESERVED_HEADER_NAMES_ENVIRON_KEY)
        environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = json.loads(names) if names else {}
        return environ


@contextmanager
def _without_calls_out() -> Iterator[None]:
    """moto's SNS calls its HTTP subscribers; they were called when it happened, and not again at a replay."""
    send = requests.adapters.HTTPAdapter.send

    def answered(adapter: Any, request: Any, **_: Any) -> requests.Response:  # noqa: ARG001
        response = requests.Response()
        response.status_code = 200
        return response

    requests.adapters.HTTPAdapter.send = answered  # type: ignore[assignment]
    try:
        yield
    finally:
        requests.adapters.HTTPAdapter.send = send  # type: ignore[method-assign]


def _labels(request: Request, operation: Operation, answer: Answer) -> dict[str, str]:
    """What the request is about, as `localaws.compaction` needs to know it."""
    labels = dict(operation.labels)
    upload = request.args.get("uploadId")
    if operation.name == "CreateMultipartUpload":
        found = _UPLOAD_ID.search(answer[2])
        upload = found.group(1).decode() if found else None
    if upload:
        labels["UploadId"] = upload
    source = request.headers.get("X-Amz-Copy-Source")
    if source:
        labels["CopySource"] = source
    return labels
