"""An endpoint's alarms: client errors, server errors, latency, and no traffic at all.

Metrics: https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.deployer.handler import VARIANT

if TYPE_CHECKING:
    from pipeline.hosting import Hosting

# Those that roll a deployment back. A quiet endpoint is no fault of its new model.
ROLLBACK = ("4xx", "5xx", "latency")
KINDS = (*ROLLBACK, "no-traffic")


def names(endpoint: str) -> list[str]:
    return [f"{endpoint}-{kind}" for kind in KINDS]


def ensure(cloudwatch: Any, hosting: Hosting, endpoint: str, only_missing: bool = False) -> list[str]:
    """Creates the alarms, or brings all of them up to date; returns their names."""
    there = _there(cloudwatch, endpoint) if only_missing else []
    errors = {"Statistic": "Sum", "Threshold": hosting.errors_alarm}
    above = {"ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching", "Period": 60}
    kinds: dict[str, dict[str, Any]] = {
        "4xx": {"MetricName": "Invocation4XXErrors", **errors, **above},
        "5xx": {"MetricName": "Invocation5XXErrors", **errors, **above},
        "latency": {
            "MetricName": "ModelLatency",
            "Statistic": "Average",
            "Threshold": hosting.latency_alarm_ms * 1_000,  # the metric is in microseconds
            **above,
        },
        "no-traffic": {
            "MetricName": "Invocations",
            "Statistic": "Sum",
            "Threshold": 1,
            "ComparisonOperator": "LessThanThreshold",
            "TreatMissingData": "breaching",
            "Period": hosting.no_traffic_minutes * 60,
        },
    }
    for kind, alarm in kinds.items():
        if f"{endpoint}-{kind}" in there:
            continue
        cloudwatch.put_metric_alarm(
            AlarmName=f"{endpoint}-{kind}",
            Namespace="AWS/SageMaker",
            Dimensions=[
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": VARIANT},
            ],
            EvaluationPeriods=1,
            AlarmActions=[hosting.alarm_topic] if hosting.alarm_topic else [],
            **alarm,
        )
    return names(endpoint)


def remove(cloudwatch: Any, endpoint: str) -> list[str]:
    there = _there(cloudwatch, endpoint)
    if there:
        cloudwatch.delete_alarms(AlarmNames=there)
    return [f"alarm {name}" for name in there]


def _there(cloudwatch: Any, endpoint: str) -> list[str]:
    found = cloudwatch.describe_alarms(AlarmNames=names(endpoint))["MetricAlarms"]
    return [alarm["AlarmName"] for alarm in found]
