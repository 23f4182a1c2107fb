"""The CloudWatch alarms that may stop a deployment: their states, brought up to date while somebody watches.

moto keeps alarms and metrics, but compares neither with the other. An alarm on one metric of an endpoint is
therefore worked out here, by CloudWatch's rule of M out of the last N periods; any other keeps the state that
`SetAlarmState` gave it.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
"""

from __future__ import annotations

import operator
from datetime import UTC, datetime, timedelta
from typing import Any

from localaws.sagemaker.invocation_metrics import NAMESPACE

CROSSED = "Threshold Crossed"
EVER = datetime.min.replace(tzinfo=UTC)
_COMPARISONS = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def missing(cloudwatch: Any, names: list[str]) -> list[str]:
    """Those of the alarms that are not there."""
    there = {alarm["AlarmName"] for alarm in _describe(cloudwatch, names)}
    return [name for name in names if name not in there]


def in_alarm(cloudwatch: Any, names: list[str], since: datetime) -> list[str]:
    """The alarms that are in ALARM; what was measured before `since` is no fault of the new fleet."""
    return [
        alarm["AlarmName"]
        for alarm in _describe(cloudwatch, names)
        if _state(cloudwatch, alarm, since) == "ALARM"
    ]


def _state(cloudwatch: Any, alarm: dict[str, Any], since: datetime) -> str:
    """The alarm's state now. One that was set to ALARM by hand stays so."""
    before = str(alarm["StateValue"])
    raised = before == "ALARM"
    by_hand = raised and not alarm.get("StateReason", "").startswith(CROSSED)
    if by_hand or alarm.get("Namespace") != NAMESPACE or not alarm.get("Statistic"):
        return before
    breaching = _breaching(cloudwatch, alarm, EVER if raised else since)
    crossed = breaching >= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
    if crossed != raised:
        cloudwatch.set_alarm_state(
            AlarmName=alarm["AlarmName"],
            StateValue="ALARM" if crossed else "OK",
            StateReason=f"{CROSSED}: {breaching} of the last {alarm['EvaluationPeriods']} "
            f"datapoints crossed the threshold ({alarm['Threshold']}).",
        )
    return "ALARM" if crossed else "OK" if raised else before


def _describe(cloudwatch: Any, names: list[str]) -> list[dict[str, Any]]:
    answer = cloudwatch.describe_alarms(AlarmNames=names) if names else {}
    return [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]


def _breaching(cloudwatch: Any, alarm: dict[str, Any], since: datetime) -> int:
    """How many of the last periods break the threshold. One without data does as TreatMissingData says."""
    period = timedelta(seconds=alarm["Period"])
    end = datetime.now(UTC) + timedelta(seconds=1)
    count = 0
    for _ in range(alarm["EvaluationPeriods"]):
        begin = end - period
        if end <= since:
            break
        points = cloudwatch.get_metric_statistics(
            Namespace=alarm["Namespace"],
            MetricName=alarm["MetricName"],
            Dimensions=alarm.get("Dimensions", []),
            StartTime=max(begin, since),
            EndTime=end,
            Period=alarm["Period"],
            Statistics=[alarm["Statistic"]],
        )["Datapoints"]
        compare = _COMPARISONS[alarm["ComparisonOperator"]]
        if points:
            count += any(compare(point[alarm["Statistic"]], alarm["Threshold"]) for point in points)
        elif alarm.get("TreatMissingData") == "breaching" and begin >= since:
            count += 1
        end = begin
    return count
