"""An endpoint's invocation metrics in CloudWatch, under the names and units that SageMaker gives them.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger(__name__)

NAMESPACE = "AWS/SageMaker"
FLUSH_SECONDS = 2.0
_COUNT, _MICROSECONDS = "None", "Microseconds"


class InvocationMetrics:
    """Adds up what happens and sends a statistic set a metric and variant every two seconds."""

    def __init__(self, cloudwatch: Any) -> None:
        self._cloudwatch = cloudwatch
        self._values: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(
            target=self._send_until_closed, name="invocation metrics", daemon=True
        )
        self._thread.start()

    def add(
        self, endpoint: str, variant: str, status: int, model_seconds: float, overhead_seconds: float
    ) -> None:
        """One invocation; `status` is the one that the caller gets to know of."""
        client_error, server_error = 400 <= status < 500, status >= 500
        with self._wake:
            for name, unit, value in (
                ("Invocations", _COUNT, 1),
                ("InvocationsPerInstance", _COUNT, 1),
                ("Invocation4XXErrors", _COUNT, float(client_error)),
                ("Invocation5XXErrors", _COUNT, float(server_error)),
                ("InvocationModelErrors", _COUNT, float(client_error or server_error)),
                ("ModelLatency", _MICROSECONDS, model_seconds * 1e6),
                ("OverheadLatency", _MICROSECONDS, overhead_seconds * 1e6),
            ):
                self._values[endpoint, variant, name, unit].append(value)

    def close(self) -> None:
        """Sends what is left."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _send_until_closed(self) -> None:
        closed = False
        while not closed:
            with self._wake:
                closed = self._wake.wait_for(lambda: self._closed, FLUSH_SECONDS)
                values, self._values = self._values, defaultdict(list)
            data = [_datum(*key, numbers) for key, numbers in values.items()]
            if data:
                self._send(data)

    def _send(self, data: list[dict[str, Any]]) -> None:
        try:
            self._cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data)
        except (ClientError, BotoCoreError) as error:
            log.warning("Invocation metrics are lost: %s", error)


def _datum(endpoint: str, variant: str, name: str, unit: str, values: list[float]) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Unit": unit,
        "Timestamp": time.time(),
        "Dimensions": [
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": variant},
        ],
        "StatisticValues": {
            "SampleCount": len(values),
            "Sum": sum(values),
            "Minimum": min(values),
            "Maximum": max(values),
        },
    }
