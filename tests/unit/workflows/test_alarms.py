"""The workflow's alarms: what their expressions make of metrics that have data now and then only."""

from __future__ import annotations

from typing import Any

import pytest

from localaws.cloudformation import templates
from tests import metric_math
from workflows import package, plan

RESOURCES = templates.parse(package.text(plan.INFERENCE)).resources
# The Period of all of them, and what an alarm's periods may be together where its Period is under an hour.
PERIOD, A_DAY = 300, 86_400


def alarm(logical_id: str) -> dict[str, Any]:
    return RESOURCES[logical_id]["Properties"]


def datapoint(logical_id: str, as_zero: bool, **metrics: float) -> float | None:
    """What the alarm's expression gives; metrics that are not named have no data."""
    (expression,) = (each["Expression"] for each in alarm(logical_id)["Metrics"] if each["ReturnData"])
    ids = [each["Id"] for each in alarm(logical_id)["Metrics"] if "MetricStat" in each]
    assert set(metrics) <= set(ids)
    return metric_math.value(expression, {name: metrics.get(name) for name in ids}, as_zero)


def goes(logical_id: str, datapoints: list[float | None]) -> bool:
    """Whether the last datapoints, the newest at the end, raise the alarm; all periods have to have one."""
    settings = alarm(logical_id)
    assert settings["ComparisonOperator"] == "GreaterThanThreshold"
    judged = datapoints[-settings["EvaluationPeriods"] :]
    needed = settings.get("DatapointsToAlarm", settings["EvaluationPeriods"])
    return sum(point > settings["Threshold"] for point in judged) >= needed


@pytest.fixture(params=[True, False], ids=["missing is 0", "missing stays missing"])
def as_zero(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.mark.parametrize("metrics", [{"failed": 1}, {"late": 1}, {"failed": 1, "late": 1}])
def test_a_batch_that_did_not_succeed_alarms_whatever_else_has_data(as_zero, metrics):
    assert goes("BatchFailedAlarm", [datapoint("BatchFailedAlarm", as_zero, **metrics)])


@pytest.mark.parametrize("name", ["serializer", "classifier", "filter", "batch", "results"])
def test_one_throttled_function_alarms_though_the_others_send_nothing(as_zero, name):
    assert datapoint("ThrottledAlarm", as_zero, **{name: 2}) == 2
    assert goes("ThrottledAlarm", [datapoint("ThrottledAlarm", as_zero, **{name: 2})])


@pytest.mark.parametrize("logical_id", ["BatchFailedAlarm", "FailedAlarm", "ThrottledAlarm"])
def test_without_any_data_a_period_counts_and_alarms_nobody(as_zero, logical_id):
    """A period without a datapoint would have CloudWatch judge an older one in its place."""
    assert datapoint(logical_id, as_zero) == 0
    assert not goes(logical_id, [0.0] * 12)
    assert alarm(logical_id)["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize(
    ("metrics", "share"),
    [
        ({"failed": 2}, 100),
        ({"failed": 1, "succeeded": 3}, 25),
        ({"failed": 0, "succeeded": 3}, 0),
        ({"succeeded": 3}, 0),
        ({"failed": 0, "succeeded": 0}, 0),
    ],
)
def test_the_share_is_of_the_executions_that_ended(as_zero, metrics, share):
    assert datapoint("FailedAlarm", as_zero, **metrics) == share


def periods(*failing: int) -> list[float]:
    """An hour's datapoints: 100 % in those, back from now, and nothing in the others."""
    return [100.0 if back in failing else 0.0 for back in reversed(range(12))]


@pytest.mark.parametrize(
    ("failing", "goes_off"),
    [
        ((0, 1, 2), True),  # a quarter of an hour
        ((0, 4, 8), True),  # every twenty minutes one
        ((0, 5, 11), True),
        ((0, 1), False),
        ((7,), False),  # one alone
        ((), False),
    ],
)
def test_what_fails_wholly_alarms_under_little_traffic_too(failing, goes_off):
    assert goes("FailedAlarm", periods(*failing)) == goes_off


def test_aws_takes_the_periods():
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"""
    found = [
        (each["MetricStat"]["Period"], properties["EvaluationPeriods"])
        for properties in (each["Properties"] for each in RESOURCES.values() if "Alarm" in each["Type"])
        for each in properties.get("Metrics", [])
        if "MetricStat" in each
    ]
    assert {period for period, _ in found} == {PERIOD}
    assert max(period * count for period, count in found) <= A_DAY
