"""Executions over stubbed clients: requests and answers are held against the service model."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from pipeline import runs
from pipeline.code import processing_code, training_code
from pipeline.definition import definition_json
from pipeline.runs import Execution, StepState

PIPELINE = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/scones"
EXECUTION = f"{PIPELINE}/execution/abcdefghijkl"


def expect_code_is_there(clients):
    clients.expect("s3", "head_bucket", {})
    for code in (processing_code(), training_code()):
        for _ in code.objects():
            clients.expect("s3", "head_object", {})
    clients.refuse(
        "sagemaker", "create_model_package_group", "ValidationException", "Model Package Group already exists"
    )


def test_upsert_creates_what_is_not_there(clients, settings):
    expect_code_is_there(clients)
    clients.refuse("sagemaker", "describe_pipeline", "ResourceNotFound", "Pipeline does not exist")
    request = {
        "PipelineName": "scones",
        "PipelineDefinition": definition_json(settings),
        "RoleArn": settings.role_arn,
    }
    clients.expect("sagemaker", "create_pipeline", {"PipelineArn": PIPELINE}, request)
    assert runs.upsert(clients, settings) == runs.Upserted(PIPELINE, "created", [])


@pytest.mark.parametrize("same", [True, False])
def test_upsert_updates_only_what_changed(clients, settings, same):
    expect_code_is_there(clients)
    definition = definition_json(settings) if same else json.dumps({"Version": "2020-12-01", "Steps": []})
    described = {"PipelineArn": PIPELINE, "PipelineDefinition": definition, "RoleArn": settings.role_arn}
    clients.expect("sagemaker", "describe_pipeline", described)
    if not same:
        clients.expect("sagemaker", "update_pipeline", {"PipelineArn": PIPELINE})
    assert runs.upsert(clients, settings).change == ("unchanged" if same else "updated")


@pytest.mark.parametrize(("region", "place"), [("us-east-1", None), ("eu-west-1", "eu-west-1")])
def test_local_bucket_is_made(clients, settings, region, place):
    clients.refuse("s3", "head_bucket", "404")
    request = {"Bucket": settings.bucket}
    if place:
        request["CreateBucketConfiguration"] = {"LocationConstraint": place}
    clients.expect("s3", "create_bucket", {}, request)
    runs.ensure_bucket(clients("s3"), settings.model_copy(update={"region": region}))


@pytest.mark.parametrize(
    ("code", "message"), [("404", "aws s3 mb s3://scones-local"), ("403", "refuses you")]
)
def test_aws_bucket_must_be_there(clients, settings, code, message):
    clients.refuse("s3", "head_bucket", code)
    with pytest.raises(runs.BucketError, match=message):
        runs.ensure_bucket(clients("s3"), settings.model_copy(update={"target": "aws"}))


def test_start_passes_parameters_as_text(clients, settings):
    request = {
        "PipelineName": "scones",
        "PipelineParameters": [{"Name": "Epochs", "Value": "3"}],
        "PipelineExecutionDisplayName": "try",
    }
    clients.expect("sagemaker", "start_pipeline_execution", {"PipelineExecutionArn": EXECUTION}, request)
    assert runs.start(clients, settings, {"Epochs": "3"}, "try") == EXECUTION


def test_start_without_pipeline_says_what_to_do(clients, settings):
    clients.refuse("sagemaker", "start_pipeline_execution", "ResourceNotFound", "no such pipeline")
    with pytest.raises(runs.NoPipelineError, match="run `scones pipeline upsert`"):
        runs.start(clients, settings, {})


def test_other_refusals_are_awss_own(clients, settings):
    clients.refuse("sagemaker", "start_pipeline_execution", "ValidationException", "Unknown parameter Epocs")
    with pytest.raises(ClientError, match="Unknown parameter Epocs"):
        runs.start(clients, settings, {"Epocs": "3"})


def summaries(now, *ids):
    return {
        "PipelineExecutionSummaries": [
            {
                "PipelineExecutionArn": f"{PIPELINE}/execution/{name}",
                "PipelineExecutionStatus": "Succeeded",
                "StartTime": now,
            }
            for name in ids
        ]
    }


def test_resolves_newest_and_id(clients, settings, now):
    clients.expect("sagemaker", "list_pipeline_executions", summaries(now, "newest"))
    assert runs.resolve(clients, settings, None).endswith("/newest")
    clients.expect("sagemaker", "list_pipeline_executions", summaries(now, "newest", "older"))
    assert runs.resolve(clients, settings, "older").endswith("/older")
    assert runs.resolve(clients, settings, EXECUTION) == EXECUTION


@pytest.mark.parametrize("reference", [None, "missing"])
def test_no_such_execution(clients, settings, reference):
    clients.expect("sagemaker", "list_pipeline_executions", {"PipelineExecutionSummaries": []})
    with pytest.raises(runs.NoExecutionError):
        runs.resolve(clients, settings, reference)


def described(now, status):
    return {
        "PipelineExecutionArn": EXECUTION,
        "PipelineExecutionStatus": status,
        "CreationTime": now,
        "LastModifiedTime": now,
    }


def test_watch_ends_with_the_execution(clients, now):
    train = {"StepName": "TrainModel", "StepStatus": "Executing", "StartTime": now}
    done = train | {
        "StepStatus": "Succeeded",
        "EndTime": now + timedelta(seconds=3),
        "CacheHitResult": {"SourcePipelineExecutionArn": EXECUTION},
        "Metadata": {"TrainingJob": {"Arn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/x"}},
    }
    for status, step in (("Executing", train), ("Succeeded", done)):
        clients.expect("sagemaker", "describe_pipeline_execution", described(now, status))
        clients.expect("sagemaker", "list_pipeline_execution_steps", {"PipelineExecutionSteps": [step]})
    slept = []
    (_, running), (execution, (step,)) = runs.watch(clients("sagemaker"), EXECUTION, 7, slept.append)
    assert running[0].status == "Executing"
    assert (execution.status, execution.id) == ("Succeeded", "abcdefghijkl")
    assert (step.cached, step.seconds) == (True, 3.0)
    assert step.made.endswith("training-job/x")
    assert slept == [7]


def test_a_reason_of_several_lines_is_told_in_one(clients):
    failed = {"StepName": "TrainModel", "StepStatus": "Failed", "FailureReason": "ExitCode 137\nCommand x\n"}
    clients.expect("sagemaker", "list_pipeline_execution_steps", {"PipelineExecutionSteps": [failed]})
    (step,) = runs.steps(clients("sagemaker"), EXECUTION)
    assert step.reason == "ExitCode 137 Command x"


def test_failure_tells_the_steps_own_reason(now):
    failed = Execution(EXECUTION, "Failed", now, now, "Step failure: One or multiple steps failed.")
    step = StepState("TrainModel", "Failed", now, now, reason="AlgorithmError: out of bicycles")
    with pytest.raises(
        runs.ExecutionFailedError, match=r"abcdefghijkl ended as Failed: TrainModel: .*bicycles"
    ):
        runs.require_success(failed, [replace(step, name="x", status="Succeeded"), step])
    with pytest.raises(runs.ExecutionFailedError, match="ended as Stopped: no reason given"):
        runs.require_success(Execution(EXECUTION, "Stopped", now, now), [])
    runs.require_success(Execution(EXECUTION, "Succeeded", now, now), [])
