"""What is refused before a tuning job is made, in a sentence that says what to do."""

import copy

import pytest

from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.tuning.checks import check
from localaws.sagemaker.tuning.definitions import training_request

CONTINUOUS = {"Name": "rate", "MinValue": "0.1", "MaxValue": "1"}
GOOD = {
    "HyperParameterTuningJobName": "tune",
    "HyperParameterTuningJobConfig": {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "m"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {"ContinuousParameterRanges": [CONTINUOUS]},
    },
    "TrainingJobDefinition": {
        "AlgorithmSpecification": {
            "TrainingImage": "pytorch-training",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "m", "Regex": "m=(.*)"}],
        },
        "StaticHyperParameters": {"epochs": "3"},
        "RoleArn": "arn:aws:iam::123456789012:role/x",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    },
}
CONFIG, DEFINITION = "HyperParameterTuningJobConfig", "TrainingJobDefinition"


def changed(path, value):
    request = copy.deepcopy(GOOD)
    *parents, last = path
    place = request
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return request


def with_range(member="ContinuousParameterRanges", **change):
    return changed((CONFIG, "ParameterRanges"), {member: [CONTINUOUS | change]})


def grid(**limits):
    request = changed((CONFIG, "Strategy"), "Grid")
    values = [{"Name": name, "Values": ["1", "2"]} for name in ("a", "b")]
    request[CONFIG]["ParameterRanges"] = {"CategoricalParameterRanges": values}
    request[CONFIG]["ResourceLimits"] = {"MaxParallelTrainingJobs": 1, **limits}
    return request


@pytest.mark.parametrize("request_", [GOOD, grid(), grid(MaxNumberOfTrainingJobs=4)])
def test_accepted(request_):
    check(request_)


def test_an_algorithm_may_bring_its_metric():
    specification = (DEFINITION, "AlgorithmSpecification", "MetricDefinitions")
    request = changed(specification, None)
    check(request, own_metrics=["m"])
    with pytest.raises(ValidationError, match="'m' is none of other"):
        check(request, own_metrics=["other"])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (changed((CONFIG, "Strategy"), "Hyperband"), "searches by Bayesian, Random and Grid"),
        (changed(("WarmStartConfig",), {"WarmStartType": "TransferLearning"}), "WarmStartConfig"),
        (changed(("Autotune",), {"Mode": "Enabled"}), "Autotune"),
        (changed(("TrainingJobDefinitions",), [{}]), "TrainingJobDefinitions"),
        (changed((DEFINITION,), None), "TrainingJobDefinition is missing"),
        (changed((DEFINITION, "ResourceConfig"), None), "needs either ResourceConfig or"),
        (changed((CONFIG, "HyperParameterTuningJobObjective"), None), "Objective is missing"),
        (changed((CONFIG, "ParameterRanges"), None), "at least one hyperparameter"),
        (changed((CONFIG, "ResourceLimits"), {"MaxParallelTrainingJobs": 1}), "MaxNumberOfTrainingJobs"),
        (changed((DEFINITION, "StaticHyperParameters"), {"rate": "1"}), "either tuned or static"),
        (
            changed((CONFIG, "HyperParameterTuningJobObjective"), {"Type": "Maximize", "MetricName": "z"}),
            "Provide a metric in the metric definitions: 'z' is none of m",
        ),
        (with_range(MinValue="2"), "MinValue 2.0 is greater than MaxValue 1.0"),
        (with_range(MinValue="x"), "must be numbers"),
        (with_range(MaxValue="inf"), "finite"),
        (with_range("IntegerParameterRanges", MinValue="0.5"), "must be integers"),
        (with_range(MinValue="0", ScalingType="Logarithmic"), "only for values greater than 0"),
        (with_range(ScalingType="ReverseLogarithmic"), "from 0 to under 1"),
        (
            with_range(
                "IntegerParameterRanges", MinValue="0", MaxValue="0", ScalingType="ReverseLogarithmic"
            ),
            "only for continuous",
        ),
        (
            changed((CONFIG, "ParameterRanges"), {"ContinuousParameterRanges": [CONTINUOUS, CONTINUOUS]}),
            "more than one range",
        ),
        (changed((CONFIG, "Strategy"), "Grid"), "categorical hyperparameters only"),
        (grid(MaxNumberOfTrainingJobs=3), "the grid has 4 combinations"),
    ],
)
def test_refused(request_, message):
    with pytest.raises(ValidationError, match=message):
        check(request_)


def test_training_request_keeps_checkpoints_apart_and_takes_the_first_instances():
    definition = GOOD[DEFINITION] | {"CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"}}
    del definition["ResourceConfig"]
    instances = {"InstanceType": "ml.c5.large", "InstanceCount": 2, "VolumeSizeInGB": 3}
    definition["HyperParameterTuningResourceConfig"] = {"InstanceConfigs": [instances], "VolumeKmsKeyId": "k"}
    made = training_request({DEFINITION: definition}, "tune-001-x", {"rate": "0.5"})
    assert made["CheckpointConfig"]["S3Uri"] == "s3://bucket/checkpoints/tune-001-x"
    assert made["ResourceConfig"] == instances | {"VolumeKmsKeyId": "k"}
    assert made["HyperParameters"] == {"epochs": "3", "rate": "0.5"}
