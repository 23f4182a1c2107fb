"""State changes in the shape in which SageMaker puts them on EventBridge."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from localaws.stack import Stack

Event = dict[str, Any]
Listener = Callable[[Event], None]


def event(stack: Stack, detail_type: str, resources: list[str], detail: dict[str, Any]) -> Event:
    """An EventBridge event from `aws.sagemaker`.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": "aws.sagemaker",
        "account": stack.account,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": stack.region,
        "resources": resources,
        "detail": detail,
    }
