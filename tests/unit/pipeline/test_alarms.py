"""What an endpoint's alarms look at, as PutMetricAlarm is told."""

from __future__ import annotations

import pytest

from pipeline import alarms
from pipeline.hosting import Hosting


@pytest.mark.parametrize(
    ("minutes", "period", "count"),
    [(5, 60, 5), (59, 60, 59), (60, 300, 12), (61, 60, 61), (90, 300, 18), (720, 3600, 12), (1440, 3600, 24)],
)
def test_a_long_quiet_is_many_short_periods(minutes, period, count):
    told = []

    class CloudWatch:
        def put_metric_alarm(self, **alarm):
            told.append(alarm)

    alarms.ensure(CloudWatch(), Hosting(no_traffic_minutes=minutes), "e")
    quiet = next(alarm for alarm in told if alarm["AlarmName"] == "e-no-traffic")
    assert (quiet["Period"], quiet["EvaluationPeriods"]) == (period, count)
    assert "DatapointsToAlarm" not in quiet  # all of them
    drift = next(alarm for alarm in told if alarm["AlarmName"] == "e-drift")
    assert (drift["Period"] * drift["EvaluationPeriods"], drift["DatapointsToAlarm"]) == (86_400, 1)
