"""Retry policies: which failures of a step are tried again, when, and how often.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
"""

from __future__ import annotations

from localaws.documents import Document
from localaws.sagemaker.engine.definition import Step
from localaws.sagemaker.engine.schema import (
    CAPACITY_ERROR,
    JOB_INTERNAL_ERROR,
    RESOURCE_LIMIT,
    SERVICE_FAULT,
    THROTTLING,
)
from localaws.sagemaker.errors import SageMakerError

LONGEST = 43_200  # seconds between two attempts

# The two that pipelines retry without being told to. AWS does not say how often: this is the SDK's example.
_DEFAULT = {
    "ExceptionType": [SERVICE_FAULT, THROTTLING],
    "IntervalSeconds": 1,
    "BackoffRate": 2.0,
    "MaxAttempts": 5,
}
_TYPES_WITH_POLICIES = ("Processing", "Training", "Tuning", "Transform", "Model", "RegisterModel")
_REASONS = {
    "InternalServerError": JOB_INTERNAL_ERROR,
    "InternalError": JOB_INTERNAL_ERROR,
    "CapacityError": CAPACITY_ERROR,
    "ResourceLimitExceeded": RESOURCE_LIMIT,
}


def of_refused_call(error: SageMakerError) -> str | None:
    """The exception type of a call that was refused, such as CreateTrainingJob's; None: not one to retry."""
    if "Throttling" in error.code:
        return THROTTLING
    if error.code == "ResourceLimitExceeded":
        return RESOURCE_LIMIT
    if "Capacity" in error.code:
        return CAPACITY_ERROR
    return SERVICE_FAULT if error.status >= 500 else None


def of_failure_reason(reason: str) -> str | None:
    """The exception type of a job that failed, by what its FailureReason begins with."""
    return _REASONS.get(reason.partition(":")[0].strip())


def next_delay(step: Step, exception: str | None, attempts: int, elapsed: float) -> float | None:
    """Seconds until the next attempt, or None: the failure is final.

    Args:
        exception: the failure's type.
        attempts: how many there were, so at least one.
        elapsed: seconds since the first began.
    """
    policies = [*(step.document.get("RetryPolicies") or ()), _DEFAULT]
    if step.type not in _TYPES_WITH_POLICIES:
        policies = [_DEFAULT]
    if step.type == "Tuning" and exception == JOB_INTERNAL_ERROR:
        return None  # tuning retries its own training jobs
    for policy in policies:
        if exception in policy["ExceptionType"]:
            return _delay(policy, attempts, elapsed)
    return None


def _delay(policy: Document, attempts: int, elapsed: float) -> float | None:
    given = {key: value for key, value in policy.items() if value is not None}
    expires = given.get("ExpireAfterMin")
    most = given.get("MaxAttempts", 5 if expires is None else None)
    if most is not None and attempts > most:
        return None
    delay = min(given.get("IntervalSeconds", 1) * given.get("BackoffRate", 2.0) ** (attempts - 1), LONGEST)
    if expires is not None and elapsed + delay > expires * 60:
        return None
    return delay
