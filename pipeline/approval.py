"""Deployment on approval, with the environment's template in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.endpoint_template import template
from pipeline.endpoints import DeployError
from pipeline.environments import PROD
from workflows.plan import ApprovalPlan

if TYPE_CHECKING:
    from pipeline.settings import Settings


def require_before_prod(settings: Settings) -> None:
    """Raises DeployError for prod, which takes nothing that was not tested in staging."""
    if settings.environment == PROD:
        raise DeployError(
            "an approval alone deploys nothing to prod, which takes what staging serves: let approvals go to "
            "staging, and `scones endpoint promote` from there"
        )


def plan(settings: Settings) -> ApprovalPlan:
    """What is to happen when a package is approved or rejected."""
    return ApprovalPlan(
        bucket=settings.bucket,
        prefix=settings.prefix,
        model_role_arn=settings.role("model"),
        template=json.dumps(template(settings), separators=(",", ":")),
        name_prefix=settings.endpoint_name_prefix,
        model_package_group=settings.model_package_group,
        key_arn=settings.endpoint_key_arn,
        notification_email=settings.notification_email,
        log_retention_days=settings.log_retention_days,
        environment=settings.environment,
    )
