"""The estimate: its arithmetic, its table, and what it says of what it does not know."""

from datetime import date

import pytest

from pipeline import cost
from pipeline import settings as settings_module
from pipeline.hosting import Hosting


@pytest.fixture
def table():
    return cost.prices()


def of(**hosting):
    return settings_module.load(environments={"dev": Hosting(**hosting)})


def test_a_month_is_instances_times_hours(table):
    line = cost.endpoint_month(of(min_instances=2, max_instances=3), table, 0)[0]
    assert line.dollars == pytest.approx(2 * 730 * table["instance_hour"]["ml.m5.large"])
    assert "if all 3 always ran" in line.assumption


def test_serverless_costs_by_use(table):
    lines = {line.what: line for line in cost.endpoint_month(of(serverless=True), table, 1_000_000)}
    assert lines["serverless"].dollars == pytest.approx(1_000_000 * 0.1 * 2 * table["serverless_gb_second"])
    assert cost.endpoint_month(of(serverless=True), table, 0)[0].dollars == 0


def test_an_execution_has_its_jobs(table):
    lines = cost.execution(of(), table)
    assert [line.what for line in lines] == [
        "PrepareData",
        "FindApprovedModel",
        "TrainModel",
        "EvaluateModel",
    ]
    assert all(line.dollars > 0 for line in lines)


def test_batches_cost_a_fraction_of_single_images(table):
    lines = {line.what: line.dollars for line in cost.in_batches(table, 1000, 50)}
    assert lines["state machine"] == pytest.approx(25 * table["step_functions_transition"])
    single = {line.what: line.dollars for line in cost.one_by_one(table, 1000)}
    assert single["state machine"] == pytest.approx(0.1)
    assert sum(single.values()) > 20 * sum(lines.values()) > 0


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "$0.00"),
        (1234.5, "$1,234.50"),
        (0.0911, "$0.0911"),
        (0.0000721, "$0.0000721"),
        (0.0005, "$0.0005"),
    ],
)
def test_small_amounts_keep_their_digits(amount, said):
    assert cost.dollars(amount) == said


def test_the_built_in_algorithm_costs_a_gpu_and_a_transform_job(table):
    lines = {
        line.what: line
        for line in cost.execution(settings_module.load(algorithm="image-classification"), table)
    }
    assert list(lines) == [
        "PrepareData",
        "FindApprovedModel",
        "TrainModel",
        "PredictValidation",
        "EvaluateModel",
    ]
    assert "ml.g4dn.xlarge" in lines["TrainModel"].assumption


def test_the_table_says_when_and_where_from(table):
    assert date.fromisoformat(table["date"])
    assert table["source"].startswith("https://aws.amazon.com/")


def test_an_unknown_instance_is_a_sentence(table):
    with pytest.raises(cost.UnknownPriceError, match=r"no price of ml\.x9\.huge: add it from"):
        cost.endpoint_month(of(instance_type="ml.x9.huge"), table, 0)
