import pytest

from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.metrics import Metrics, check_definitions

DEFINITIONS = [
    {"Name": "validation:accuracy", "Regex": "validation:accuracy=([0-9.]+)"},
    {"Name": "loss", "Regex": r"loss=(\S+);"},
]


class CloudWatch:
    def __init__(self):
        self.sizes = []

    def put_metric_data(self, Namespace, MetricData):  # noqa: N803 - boto3's own names
        assert Namespace == "/aws/sagemaker/TrainingJobs"
        self.sizes.append(len(MetricData))


def test_the_last_value_of_each_is_the_final_one():
    metrics = Metrics(DEFINITIONS)
    for line in ("loss=1e-1; loss=2e-2;", "validation:accuracy=0.5", "nothing", "validation:accuracy=0.75;"):
        metrics.read(line, "job/algo-1")
    assert {item["MetricName"]: item["Value"] for item in metrics.final()} == {
        "loss": 0.02,
        "validation:accuracy": 0.75,
    }


@pytest.mark.parametrize("line", ["loss=nan;", "loss=abc;", "loss=inf;", "validation:accuracy=1.2.3"])
def test_what_is_no_number_is_left_out(line):
    metrics = Metrics(DEFINITIONS)
    metrics.read(line, "job/algo-1")
    assert metrics.final() == []


def test_values_are_sent_in_batches_that_cloudwatch_takes():
    metrics, cloudwatch = Metrics(DEFINITIONS), CloudWatch()
    for number in range(1500):
        metrics.read(f"loss={number};", "job/algo-1")
    metrics.publish(cloudwatch)
    assert cloudwatch.sizes == [1000, 500]


def test_a_wrong_expression_is_refused_by_name():
    with pytest.raises(ValidationError, match=r"'\(' of the metric 'x'"):
        check_definitions([{"Name": "x", "Regex": "("}])


def test_without_a_group_the_value_is_the_whole_match():
    metrics = Metrics([{"Name": "number", "Regex": "[0-9.]+"}])
    assert metrics.read("0.5", "job/algo-1") == [("number", 0.5)]
