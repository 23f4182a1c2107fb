"""Who sends a request: each role's credentials, as STS would hand them to what runs under it.

Nobody checks signatures here, so a role's access key id simply has the role's ARN in it: that needs no store,
and what goes on after a restart keeps its identity.
"""

from __future__ import annotations

import base64
import re

# STS's temporary keys begin with ASIA. AccessKeyIdType: letters, digits and `_`, 128 at most.
_PREFIX = "ASIAROLE"
_KEY = re.compile(r"Credential=([^/,\s]+)/")
ADMINISTRATOR = "local"
"""Both halves of the credential that `scones local up` prints: whoever owns this machine."""


def access_key(role_arn: str | None) -> str:
    """The access key id of what runs under this role; the owner's own where there is none."""
    if not role_arn:
        return ADMINISTRATOR
    return _PREFIX + base64.b32encode(role_arn.encode()).decode().rstrip("=")


def role_of(key: str) -> str | None:
    """The role's ARN behind an access key id; None for the owner's and for any other."""
    if not key.startswith(_PREFIX):
        return _assumed(key) if key.startswith("ASIA") else None
    text = key.removeprefix(_PREFIX)
    try:
        return base64.b32decode(text + "=" * (-len(text) % 8)).decode()
    except ValueError:  # no base32, or no text
        return None


def caller(authorization: str) -> str | None:
    """The role that signed a request, by its Authorization header."""
    found = _KEY.search(authorization)
    return role_of(found.group(1)) if found else None


def _assumed(key: str) -> str | None:
    """The role of a key that moto's STS gave for AssumeRole."""
    from moto.sts.models import sts_backends

    for account in list(sts_backends.values()):
        for backend in list(account.values()):
            for role in list(backend.assumed_roles):
                if role.access_key_id == key:
                    return str(role.role_arn)
    return None
