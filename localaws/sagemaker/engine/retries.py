"""Retry policies: which failures of a step are tried again, when, and how often.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localaws.sagemaker.engine.definition import Step
from localaws.sagemaker.errors import SageMakerError

Document = dict[str, Any]

SERVICE_FAULT = "Step.SERVICE_FAULT"
THROTTLING = "Step.THROTTLING"
JOB_INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"
CAPACITY_ERROR = "SageMaker.CAPACITY_ERROR"
RESOURCE_LIMIT = "SageMaker.RESOURCE_LIMIT"
EXCEPTION_TYPES = (SERVICE_FAULT, THROTTLING, JOB_INTERNAL_ERROR, CAPACITY_ERROR, RESOURCE_LIMIT)

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


def problems(policy: Document) -> Iterator[str]:
    """What is wrong with a policy."""
    named = policy.get("ExceptionType")
    if not isinstance(named, list) or not named or any(each not in EXCEPTION_TYPES for each in named):
        yield f"RetryPolicies: ExceptionType must be a list of {', '.join(EXCEPTION_TYPES)}, not {named!r}."
    if policy.get("MaxAttempts") is not None and policy.get("ExpireAfterMin") is not None:
        yield "RetryPolicies: MaxAttempts and ExpireAfterMin exclude each other."
    limits = {
        "IntervalSeconds": 43200,
        "BackoffRate": float("inf"),
        "MaxAttempts": 20,
        "ExpireAfterMin": 14400,
    }
    for member, highest in limits.items():
        value = policy.get(member)
        if value is not None and not (isinstance(value, int | float) and 0 <= value <= highest):
            yield f"RetryPolicies: {member} must be a number from 0 to {highest}, not {value!r}."


def _delay(policy: Document, attempts: int, elapsed: float) -> float | None:
    expires = policy.get("ExpireAfterMin")
    most = policy.get("MaxAttempts", 5 if expires is None else None)
    if most is not None and attempts > most:
        return None
    delay = policy.get("IntervalSeconds", 1) * policy.get("BackoffRate", 2.0) ** (attempts - 1)
    if expires is not None and elapsed + delay > expires * 60:
        return None
    return delay
