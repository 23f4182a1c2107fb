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
    found = []
    for alarm in _describe(cloudwatch, names):
        state = alarm["StateValue"]
        if state != "ALARM" and alarm.get("Namespace") == NAMESPACE and alarm.get("Statistic"):
            breaching = _breaching(cloudwatch, alarm, since)
            if breaching >= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]):
                state = "ALARM"
                cloudwatch.set_alarm_state(
                    AlarmName=alarm["AlarmName"],
                    StateValue=state,
                    StateReason=f"Threshold Crossed: {breaching} of the last {alarm['EvaluationPeriods']} "
                    f"datapoints crossed the threshold ({alarm['Threshold']}).",
                )
        if state == "ALARM":
            found.append(alarm["AlarmName"])
    return found


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
