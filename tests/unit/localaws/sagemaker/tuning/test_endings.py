"""When a tuning job ends and how, what its counters say, and which training jobs are given up."""

import pytest

from localaws.sagemaker.jobs import INTERRUPTED
from localaws.sagemaker.tuning import trials
from localaws.sagemaker.tuning.endings import ending, is_hopeless


def trial(number, status="Completed", value=None, reason=None, **more):
    ended = "Failed" if value is None else "Succeeded"
    found = {
        "TrainingJobName": f"t-{number:03}",
        "TrainingJobStatus": status,
        "TrainingEndTime": float(number),
        "TunedHyperParameters": {"x": str(number)},
        "ObjectiveStatus": "Pending" if status in trials.ACTIVE else ended,
        "_Attempt": 1,
        **more,
    }
    if value is not None:
        found["FinalHyperParameterTuningJobObjectiveMetric"] = {"MetricName": "m", "Value": value}
    if reason:
        found["FailureReason"] = reason
    return found


def document(*of, kind="Maximize", budget=10, criteria=None, limits=None, retries=None):
    return {
        "HyperParameterTuningJobConfig": {
            "HyperParameterTuningJobObjective": {"Type": kind, "MetricName": "m"},
            "ResourceLimits": limits or {},
            "TuningJobCompletionCriteria": criteria or {},
        },
        "TrainingJobDefinition": {"RetryStrategy": retries},
        "_Budget": budget,
        "_Trials": list(of),
    }


def scored(*values):
    return [trial(number, value=value) for number, value in enumerate(values)]


@pytest.mark.parametrize(("kind", "name"), [("Maximize", "t-001"), ("Minimize", "t-000")])
def test_best(kind, name):
    of = [*scored(0.5, 0.9, 0.7), trial(3, "Stopped", 1.0), trial(4, "InProgress")]
    if kind == "Minimize":
        of[3] = trial(3, "Stopped", 0.0)
    assert trials.best(document(*of, kind=kind))["TrainingJobName"] == name


def test_counters():
    made = document(
        *scored(0.5, 0.6),
        trial(2, "Failed", reason="AlgorithmError: no"),
        trial(3, "Failed", reason=INTERRUPTED, _Repeated=True),
        trial(4, "InProgress"),
        trial(5, "Stopping"),
        trial(6, "Stopped", 0.1),
    )
    trials.summarise(made)
    assert made["TrainingJobStatusCounters"] == {
        "Completed": 2,
        "InProgress": 2,
        "RetryableError": 1,
        "NonRetryableError": 1,
        "Stopped": 1,
    }
    assert made["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 2, "Failed": 2}
    assert made["BestTrainingJob"]["TrainingJobName"] == "t-001"
    assert not any(key.startswith("_") for key in made["BestTrainingJob"])


def failures(count, reason="AlgorithmError: no"):
    return [trial(number, "Failed", reason=reason) for number in range(count)]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (document(), None),
        (document(*scored(0.5)), None),
        (document(*scored(0.5, 0.6), budget=2), ("Completed", "")),
        (document(*failures(1), *scored(0.5), budget=2), ("Completed", "")),
        (document(*failures(2), budget=2), ("Failed", "All training jobs failed")),
        (document(*failures(4)), None),
        (document(*failures(5)), ("Failed", "No training job succeeded after 5 attempts")),
        (document(*scored(None, None), budget=2), ("Failed", "No objective metrics found after running 2")),
        (document(*failures(2, INTERRUPTED), budget=2), None),
        (document(*scored(0.5, 0.9), criteria={"TargetObjectiveMetricValue": 0.9}), ("Completed", "")),
        (document(*scored(0.5, 0.8), criteria={"TargetObjectiveMetricValue": 0.9}), None),
        (
            document(*scored(0.5), kind="Minimize", criteria={"TargetObjectiveMetricValue": 0.6}),
            ("Completed", ""),
        ),
        (document(*scored(0.5), limits={"MaxRuntimeInSeconds": 100}), ("Completed", "")),
        (document(limits={"MaxRuntimeInSeconds": 100}), ("Failed", "All training jobs failed")),
    ],
)
def test_ending(made, expected):
    found = ending(made, seconds=100)
    if expected is None:
        assert found is None
    else:
        assert found[0] == expected[0]
        assert found[1].startswith(expected[1])


@pytest.mark.parametrize(
    ("values", "count"),
    [((), 0), ((0.5,), 0), ((0.5, 0.502, 0.504), 2), ((0.5, 0.4, 0.51), 0), ((0.5, 0.51, 0.4, 0.5), 2)],
)
def test_not_improving_by_one_percent(values, count):
    made = document(*scored(*values))
    assert trials.not_improving(made) == count


def test_improvement_criterion():
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    assert ending(document(*scored(0.5, 0.5, 0.5), criteria=criteria), 0) is None
    assert ending(document(*scored(0.5, 0.5, 0.5, 0.5), criteria=criteria), 0) == ("Completed", "")


@pytest.mark.parametrize(
    ("reason", "attempt", "retries", "repeated"),
    [
        (INTERRUPTED, 9, None, True),
        ("InternalServerError: disk", 1, None, False),
        ("InternalServerError: disk", 2, {"MaximumRetryAttempts": 2}, True),
        ("InternalServerError: disk", 3, {"MaximumRetryAttempts": 2}, False),
        ("AlgorithmError: no", 1, {"MaximumRetryAttempts": 2}, False),
    ],
)
def test_what_is_tried_again(reason, attempt, retries, repeated):
    made = document(trial(1, "Failed", reason=reason, _Attempt=attempt), retries=retries)
    assert (trials.repeatable(made) is not None) == repeated


THREE = ([0.5, 0.7], [0.6, 0.8], [0.7, 0.9])  # averages to the second epoch: 0.6, 0.7, 0.8


@pytest.mark.parametrize(
    ("values", "others", "maximize", "hopeless"),
    [
        ([0.9, 0.69], THREE, True, True),
        ([0.1, 0.71], THREE, True, False),
        ([0.9, 0.71], THREE, False, True),
        ([0.1, 0.1], THREE[:2], True, False),  # too few to judge by
        ([0.1, 0.1, 0.1], THREE, True, False),  # none came as far
        ([], THREE, True, False),
    ],
)
def test_median_rule(values, others, maximize, hopeless):
    assert is_hopeless(values, others, maximize) == hopeless
