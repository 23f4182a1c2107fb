"""Bucket policies as S3 evaluates them, in moto's S3."""

from __future__ import annotations

from typing import Any

from localaws import policies
from localaws.policies import Decision

# Nothing leaves this machine, which is what asking for TLS is about.
_CONTEXT = {"aws:SecureTransport": "true"}


def install() -> None:
    """Replaces moto's evaluation. Once, after its S3 was imported."""
    from moto.iam.access_control import PermissionResult
    from moto.s3.models import FakeBucket

    results = {
        Decision.ALLOWED: PermissionResult.PERMITTED,
        Decision.DENIED: PermissionResult.DENIED,
        Decision.NEITHER: PermissionResult.NEUTRAL,
    }

    def get_permission(self: Any, action: str, resource: str) -> Any:
        if self.policy is None:
            return PermissionResult.NEUTRAL
        rules = [rule for rule in policies.statements(self.policy.decode()) if _for_everybody(rule)]
        return results[policies.decide(rules, action, resource, _CONTEXT)]

    FakeBucket.get_permission = get_permission


def _for_everybody(rule: dict[str, Any]) -> bool:
    """Requests here come from nobody in particular, so only what is said of everybody counts."""
    return rule.get("Principal") in ("*", {"AWS": "*"})
