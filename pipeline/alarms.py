"""An endpoint's alarms: client errors, server errors, latency, no traffic at all, drift.

Metrics: https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.deployer.handler import VARIANT

if TYPE_CHECKING:
    from pipeline.hosting import Hosting

# Those that roll a deployment back. A quiet endpoint is no fault of its new model.
ROLLBACK = ("4xx", "5xx", "latency")
KINDS = (*ROLLBACK, "no-traffic", "drift")
# Where `scones monitor check --publish` puts its metrics.
MONITORING = "Scones/Monitoring"
DRIFTED_FEATURES = "DriftedFeatures"


def names(endpoint: str) -> list[str]:
    return [f"{endpoint}-{kind}" for kind in KINDS]


def ensure(cloudwatch: Any, hosting: Hosting, endpoint: str, only_missing: bool = False) -> list[str]:
    """Creates the alarms, or brings all of them up to date; returns their names."""
    there = _there(cloudwatch, endpoint) if only_missing else []
    for kind, alarm in _alarms(hosting, endpoint).items():
        if f"{endpoint}-{kind}" in there:
            continue
        cloudwatch.put_metric_alarm(
            AlarmName=f"{endpoint}-{kind}",
            AlarmActions=[hosting.alarm_topic] if hosting.alarm_topic else [],
            **{"EvaluationPeriods": 1, **alarm},
        )
    return names(endpoint)


def _alarms(hosting: Hosting, endpoint: str) -> dict[str, dict[str, Any]]:
    """What PutMetricAlarm takes of each kind."""
    errors = {"Statistic": "Sum", "Threshold": hosting.errors_alarm}
    above = {"ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching", "Period": 60}
    endpoint_only = [{"Name": "EndpointName", "Value": endpoint}]
    its_variant = [*endpoint_only, {"Name": "VariantName", "Value": VARIANT}]
    requests = {"Namespace": "AWS/SageMaker", "Dimensions": its_variant}
    return {
        "4xx": {
            "AlarmDescription": "Clients send what the model refuses",
            "MetricName": "Invocation4XXErrors",
            **requests,
            **errors,
            **above,
        },
        "5xx": {
            "AlarmDescription": "The model fails",
            "MetricName": "Invocation5XXErrors",
            **requests,
            **errors,
            **above,
        },
        "latency": {
            "AlarmDescription": "The model answers slower than latency_alarm_ms",
            "MetricName": "ModelLatency",
            "Statistic": "Average",
            "Threshold": hosting.latency_alarm_ms * 1_000,  # the metric is in microseconds
            **requests,
            **above,
        },
        "no-traffic": {
            "AlarmDescription": "Nobody has asked for no_traffic_minutes",
            "MetricName": "Invocations",
            "Statistic": "Sum",
            "Threshold": 1,
            "ComparisonOperator": "LessThanThreshold",
            "TreatMissingData": "breaching",
            **_periods(hosting.no_traffic_minutes),
            **requests,
        },
        "drift": {
            "AlarmDescription": "A check of the last day found images unlike those of the training data",
            "Namespace": MONITORING,
            "MetricName": DRIFTED_FEATURES,
            "Dimensions": endpoint_only,
            "Statistic": "Maximum",
            "Threshold": 0,
            **above,
            # So that a daily check keeps the alarm until the next.
            **_periods(24 * 60),
            "DatapointsToAlarm": 1,
        },
    }


def _periods(minutes: int) -> dict[str, int]:
    """Many short periods: CloudWatch looks at some more than it is told to before it takes one for missing.

    Of periods as long as the whole, those would be as many hours or days.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
    """
    fitting = (length for length in (60, 5) if minutes % length == 0 and minutes >= 12 * length)
    period = next(fitting, 1)
    return {"Period": period * 60, "EvaluationPeriods": minutes // period}


def remove(cloudwatch: Any, endpoint: str) -> list[str]:
    there = _there(cloudwatch, endpoint)
    if there:
        cloudwatch.delete_alarms(AlarmNames=there)
    return [f"alarm {name}" for name in there]


def _there(cloudwatch: Any, endpoint: str) -> list[str]:
    found = cloudwatch.describe_alarms(AlarmNames=names(endpoint))["MetricAlarms"]
    return [alarm["AlarmName"] for alarm in found]
