"""Tuning jobs over HTTP, with real training jobs: the best found, stopped, killed and taken up again."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.conftest import OwnAws
from tests.functional.jobs import FINAL, IMAGE, ROLE
from tests.functional.test_training_jobs import members, put_code
from tests.shapes import assert_answer
from tests.waiting import wait_for

# Reaches 1 where x is 0.3; says so epoch by epoch, and writes what it was given.
SCRIPT = """
import argparse, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("-x", type=float)
parser.add_argument("--sleep", type=float, default=0)
given = parser.parse_args()
pathlib.Path("/opt/ml/model/x").write_text(str(given.x))
for epoch in range(2):
    print(f"score={1 - (given.x - 0.3) ** 2:.4f};", flush=True)
    time.sleep(given.sleep)
if given.x > 0.9: raise SystemExit("too large")
"""
X = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "0.9"}]}


def request(s3: Any, ranges: dict[str, Any], script: str = SCRIPT, **more: Any) -> dict[str, Any]:
    """Six jobs, two at a time, for the highest score."""
    bucket = f"tuning-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    code = put_code(s3, bucket, {"train.py": script})
    return {
        "HyperParameterTuningJobName": f"tune-{uuid.uuid4().hex[:8]}",
        "HyperParameterTuningJobConfig": {
            "Strategy": more.get("strategy", "Random"),
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": more.get(
                "limits", {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2}
            ),
            "ParameterRanges": ranges,
            "RandomSeed": 7,
            **more.get("config", {}),
        },
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "score", "Regex": "score=([0-9.]+)"}],
            },
            "RoleArn": ROLE,
            "StaticHyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": json.dumps(code),
                **more.get("static", {}),
            },
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        },
        "Tags": [{"Key": "team", "Value": "tuners"}],
    }


@pytest.fixture
def sagemaker(client: Callable[..., Any]) -> Any:
    return client("sagemaker")


@pytest.fixture
def tune(client: Callable[..., Any]) -> Callable[..., str]:
    def tune(ranges: dict[str, Any], script: str = SCRIPT, **more: Any) -> str:
        asked = request(client("s3"), ranges, script, **more)
        answer = client("sagemaker").create_hyper_parameter_tuning_job(**asked)
        assert_answer("sagemaker", "CreateHyperParameterTuningJob", answer)
        return asked["HyperParameterTuningJobName"]

    return tune


def until(sagemaker: Any, name: str, ready: Callable[[dict[str, Any]], bool], seconds: float = 90) -> Any:
    def describe() -> dict[str, Any]:
        job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        assert_answer("sagemaker", "DescribeHyperParameterTuningJob", job)
        return job

    return wait_for(describe, f"what {name} should be", seconds, until=ready)


def completed(job: dict[str, Any], sagemaker: Any) -> None:
    """Says what went wrong where something did."""
    reasons = [t.get("FailureReason") for t in trials(sagemaker, job["HyperParameterTuningJobName"])]
    assert job["HyperParameterTuningJobStatus"] == "Completed", [job.get("FailureReason"), *reasons]


def ended(job: dict[str, Any]) -> bool:
    return job["HyperParameterTuningJobStatus"] in FINAL


def trials(sagemaker: Any, name: str, **more: Any) -> list[dict[str, Any]]:
    answer = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, **more
    )
    assert_answer("sagemaker", "ListTrainingJobsForHyperParameterTuningJob", answer)
    return answer["TrainingJobSummaries"]


def test_best_of_its_training_jobs(tune, sagemaker, client):
    name = tune(X, strategy="Bayesian")
    job = until(sagemaker, name, ended)
    completed(job, sagemaker)
    assert job["TrainingJobStatusCounters"] == {
        "Completed": 3,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    found = trials(sagemaker, name, SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    values = [each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for each in found]
    assert values == sorted(values, reverse=True)
    assert job["BestTrainingJob"] == found[0]
    for each in found:
        assert re.fullmatch(rf"{name}-00[123]-[0-9a-f]{{8}}", each["TrainingJobName"])
        x = float(each["TunedHyperParameters"]["x"])
        value = each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
        assert value == pytest.approx(1 - (x - 0.3) ** 2, abs=1e-4)
    training = sagemaker.describe_training_job(TrainingJobName=found[0]["TrainingJobName"])
    assert training["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    assert training["HyperParameters"]["_tuning_objective_metric"] == "score"
    # The place that pipelines work out for the best model.
    uri = "/".join(
        [
            job["TrainingJobDefinition"]["OutputDataConfig"]["S3OutputPath"],
            found[0]["TrainingJobName"],
            "output/model.tar.gz",
        ]
    )
    assert training["ModelArtifacts"]["S3ModelArtifacts"] == uri
    assert members(client, uri)["x"].decode() == found[0]["TunedHyperParameters"]["x"]
    tags = sagemaker.list_tags(ResourceArn=training["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "tuners"}]


def test_grid_tries_every_combination_and_survives_failures(tune, sagemaker):
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["0.1", "0.95"]}]}
    name = tune(ranges, strategy="Grid", limits={"MaxParallelTrainingJobs": 2})
    job = until(sagemaker, name, ended)
    completed(job, sagemaker)
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"x": "0.1"}
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    (failed,) = trials(sagemaker, name, StatusEquals="Failed")
    assert failed["ObjectiveStatus"] == "Failed"
    assert "too large" in failed["FailureReason"]
    assert trials(sagemaker, name, SortBy="FinalObjectiveMetricValue")[0]["ObjectiveStatus"] == "Succeeded"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise SystemExit('no')", "All training jobs failed"),
        ("print('done')", "No objective metrics found after running 2 training jobs"),
    ],
)
def test_fails_where_nothing_came_of_it(tune, sagemaker, script, reason):
    limits = {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2}
    job = until(sagemaker, tune(X, script, limits=limits), ended)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)
    assert "BestTrainingJob" not in job


def test_stop_ends_its_training_jobs(tune, sagemaker):
    name = tune(X, static={"sleep": "30"})
    until(sagemaker, name, lambda job: job["TrainingJobStatusCounters"]["InProgress"] == 2)
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    job = until(sagemaker, name, ended)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert {each["TrainingJobStatus"] for each in trials(sagemaker, name)} <= {"Stopped"}
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def test_target_ends_it_before_its_number_of_jobs(tune, sagemaker):
    limits = {"MaxNumberOfTrainingJobs": 50, "MaxParallelTrainingJobs": 1}
    criteria = {"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.1}}
    job = until(sagemaker, tune(X, limits=limits, config=criteria), ended)
    completed(job, sagemaker)
    assert len(trials(sagemaker, job["HyperParameterTuningJobName"])) == 1


def test_hopeless_training_job_is_stopped_early(tune, sagemaker):
    """The grid's last is worse than the three before it, and would run for a minute."""
    script = SCRIPT.replace("time.sleep(given.sleep)", "time.sleep(60 if given.x == 0.8 else 0)")
    values = ["0.3", "0.31", "0.32", "0.8"]
    job = until(
        sagemaker,
        tune(
            {"CategoricalParameterRanges": [{"Name": "x", "Values": values}]},
            script,
            strategy="Grid",
            limits={"MaxParallelTrainingJobs": 1},
            config={"TrainingJobEarlyStoppingType": "Auto"},
        ),
        ended,
    )
    completed(job, sagemaker)
    (stopped,) = trials(sagemaker, job["HyperParameterTuningJobName"], StatusEquals="Stopped")
    assert stopped["TunedHyperParameters"] == {"x": "0.8"}
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"x": "0.3"}


def test_names_lists_and_deletion(tune, sagemaker, client):
    limits = {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1}
    name = tune(X, limits=limits)
    with pytest.raises(ClientError, match="is InProgress"):
        sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    asked = request(client("s3"), X) | {"HyperParameterTuningJobName": name}
    with pytest.raises(ClientError, match="already exists") as error:
        sagemaker.create_hyper_parameter_tuning_job(**asked)
    assert error.value.response["Error"]["Code"] == "ResourceInUse"
    until(sagemaker, name, ended)
    answer = sagemaker.list_hyper_parameter_tuning_jobs(NameContains=name, StatusEquals="Completed")
    assert_answer("sagemaker", "ListHyperParameterTuningJobs", answer)
    (summary,) = answer["HyperParameterTuningJobSummaries"]
    assert (summary["Strategy"], summary["ResourceLimits"]) == ("Random", limits)
    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    with pytest.raises(ClientError, match="can't find a tuning job") as error:
        sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert error.value.response["Error"]["Code"] == "ResourceNotFound"


def test_goes_on_after_a_kill(own_aws: OwnAws):
    """What the kill interrupted is tried again, with the same hyperparameters, and costs no place."""
    sagemaker = own_aws.client("sagemaker")
    asked = request(own_aws.client("s3"), X, static={"sleep": "0.5"})
    name = asked["HyperParameterTuningJobName"]
    sagemaker.create_hyper_parameter_tuning_job(**asked)
    until(sagemaker, name, lambda _: any("TrainingStartTime" in each for each in trials(sagemaker, name)))
    own_aws.restart()
    sagemaker = own_aws.client("sagemaker")
    job = until(sagemaker, name, ended)
    completed(job, sagemaker)
    counters = job["TrainingJobStatusCounters"]
    assert counters["Completed"] == 3
    assert counters["RetryableError"] >= 1
    found = trials(sagemaker, name)
    repeated = [each["TunedHyperParameters"] for each in found if each["TrainingJobStatus"] == "Failed"]
    whole = [each["TunedHyperParameters"] for each in found if each["TrainingJobStatus"] == "Completed"]
    assert repeated
    assert all(each in whole for each in repeated)
