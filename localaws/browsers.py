"""Keeps web pages away from the local AWS, which runs code for whoever can call it.

A page in the user's browser may send requests to 127.0.0.1, under the page's own name (cross-site requests)
or under a name that it made point here (DNS rebinding). Browsers say both: in `Origin` and `Sec-Fetch-Site`,
and in `Host`. AWS's clients send no `Origin`, and a `Host` that is this machine's or AWS's.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_OWN_DOMAINS = ("localhost", "amazonaws.com", "amazonaws.com.cn", "api.aws")


def is_foreign(environ: WSGIEnvironment) -> bool:
    """Whether the request comes from a web page of another site, or under a name that is not ours."""
    host = urlsplit("//" + environ.get("HTTP_HOST", "localhost")).hostname or ""
    if not (_is_loopback(host) or host.endswith(tuple("." + domain for domain in _OWN_DOMAINS))):
        return True
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None:
        return not _is_loopback(urlsplit(origin).hostname or "")
    return environ.get("HTTP_SEC_FETCH_SITE") == "cross-site"


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
