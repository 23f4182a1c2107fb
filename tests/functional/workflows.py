"""What the tests of the inference workflow deploy."""

from __future__ import annotations

from typing import Any

from workflows.plan import WorkflowPlan


def workflow_plan(endpoint_name: str = "not-asked", **changes: Any) -> WorkflowPlan:
    """`changes` name at least the bucket and the prefix of what is made."""
    settings = {
        "prefix": "scones",
        "endpoint_name": endpoint_name,
        "threshold": 0.8,
        "account": "123456789012",
        "region": "us-east-1",
    }
    return WorkflowPlan(**settings | changes)
