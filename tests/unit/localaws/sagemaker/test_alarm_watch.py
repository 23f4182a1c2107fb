"""Alarms on an endpoint's metrics: raised by what is measured, and lowered again."""

from datetime import UTC, datetime, timedelta

import pytest

from localaws.sagemaker.alarm_watch import in_alarm

NAME = "endpoint-5xx"


class CloudWatch:
    """One alarm, and what its metric has in each minute back from now."""

    def __init__(self, minutes):
        self.minutes = minutes
        self.alarm = {
            "AlarmName": NAME,
            "StateValue": "INSUFFICIENT_DATA",
            "Namespace": "AWS/SageMaker",
            "MetricName": "Invocation5XXErrors",
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }

    def describe_alarms(self, **_):
        return {"MetricAlarms": [dict(self.alarm)]}

    def set_alarm_state(self, *, AlarmName, StateValue, StateReason):  # noqa: N803 - as boto3 has them
        assert AlarmName == NAME
        self.alarm |= {"StateValue": StateValue, "StateReason": StateReason}

    def get_metric_statistics(self, *, StartTime, EndTime, **_):  # noqa: N803
        now = datetime.now(UTC)
        found = [
            value
            for back, value in self.minutes.items()
            if StartTime <= now - timedelta(minutes=back) < EndTime
        ]
        return {"Datapoints": [{"Sum": sum(found)}] if found else []}


def test_an_alarm_that_was_raised_is_lowered_when_its_period_is_over():
    cloudwatch, since = CloudWatch({0: 3.0}), datetime.now(UTC) - timedelta(minutes=10)
    assert in_alarm(cloudwatch, [NAME], since) == [NAME]
    assert cloudwatch.alarm["StateReason"].startswith("Threshold Crossed: 1 of the last 1")
    assert in_alarm(cloudwatch, [NAME], datetime.now(UTC)) == [NAME]  # a new deployment begins in it
    cloudwatch.minutes = {2: 3.0}
    assert in_alarm(cloudwatch, [NAME], datetime.now(UTC)) == []
    assert cloudwatch.alarm["StateValue"] == "OK"


@pytest.mark.parametrize("minutes", [{}, {0: 0.0}])
def test_an_alarm_that_was_set_by_hand_stays(minutes):
    cloudwatch = CloudWatch(minutes)
    cloudwatch.set_alarm_state(AlarmName=NAME, StateValue="ALARM", StateReason="a test")
    assert in_alarm(cloudwatch, [NAME], datetime.now(UTC) - timedelta(hours=1)) == [NAME]
    assert cloudwatch.alarm["StateReason"] == "a test"


def test_what_was_measured_before_is_no_fault_of_the_new_fleet():
    cloudwatch = CloudWatch({0.5: 3.0})
    assert in_alarm(cloudwatch, [NAME], datetime.now(UTC) - timedelta(seconds=1)) == []
