"""Pipelines over HTTP: real jobs, real S3 objects, the stored definition."""

from __future__ import annotations

import io
import json
import os
import signal
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localaws import control
from tests.functional.conftest import make_client
from tests.functional.jobs import IMAGE, ROLE
from tests.waiting import wait_for

OUT = "/opt/ml/processing/out"
ENDED = ("Succeeded", "Failed", "Stopped")


@pytest.fixture(scope="module")
def sagemaker(client: Callable[..., Any]) -> Any:
    return client("sagemaker")


@pytest.fixture(scope="module")
def bucket(client: Callable[..., Any]) -> str:
    name = f"pipelines-{uuid.uuid4().hex[:8]}"
    client("s3").create_bucket(Bucket=name)
    return name


def script(name: str, bucket: str, code: str, **more: Any) -> dict[str, Any]:
    """A processing step that runs a line of shell; what it writes to $OUT goes to S3."""
    uri = {
        "Std:Join": {"On": "/", "Values": [f"s3://{bucket}", {"Get": "Execution.PipelineExecutionId"}, name]}
    }
    arguments = {
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["sh", "-c", code]},
        "RoleArn": ROLE,
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {"S3Uri": uri, "LocalPath": OUT, "S3UploadMode": "EndOfJob"},
                }
            ]
        },
        "Environment": {"OUT": OUT},
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments} | more


def reading(step: dict[str, Any], before: str) -> dict[str, Any]:
    """The step, with another step's output at /opt/ml/processing/in."""
    uri = {"Get": f"Steps.{before}.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    step["Arguments"]["ProcessingInputs"] = [
        {
            "InputName": "in",
            "S3Input": {
                "S3Uri": uri,
                "LocalPath": "/opt/ml/processing/in",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
    ]
    return step


def create(sagemaker: Any, *steps: dict[str, Any], parameters: list[dict[str, Any]] | None = None) -> str:
    name = f"p-{uuid.uuid4().hex[:8]}"
    definition = {"Version": "2020-12-01", "Parameters": parameters or [], "Steps": list(steps)}
    sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE)
    return name


def finished(sagemaker: Any, arn: str, seconds: float = 60) -> dict[str, Any]:
    """The execution once it has ended."""

    def look() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        return sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn), steps_of(sagemaker, arn)

    ended = wait_for(look, "the end", seconds, until=lambda seen: seen[0]["PipelineExecutionStatus"] in ENDED)
    return ended[0]


def steps_of(sagemaker: Any, arn: str) -> dict[str, dict[str, Any]]:
    listed = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, SortOrder="Ascending")
    return {step["StepName"]: step for step in listed["PipelineExecutionSteps"]}


def wait_for_step(sagemaker: Any, arn: str, step: str, status: str) -> None:
    wait_for(
        lambda: steps_of(sagemaker, arn),
        f"{step} {status}",
        30,
        until=lambda steps: steps.get(step, {}).get("StepStatus") == status,
    )


REPORT = {"PropertyFileName": "Report", "OutputName": "out", "FilePath": "report.json"}
ACCURACY = {
    "Std:JsonGet": {
        "PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"},
        "Path": "metrics.accuracy",
    }
}


@pytest.mark.parametrize(("accuracy", "last"), [("0.9", "Keep"), ("0.5", "TooLow")])
def test_a_gate_on_what_a_job_wrote(
    sagemaker: Any, client: Any, bucket: str, accuracy: str, last: str
) -> None:
    write = 'echo "{\\"metrics\\": {\\"accuracy\\": $ACCURACY}}" > $OUT/report.json'
    evaluate = script("Evaluate", bucket, write, PropertyFiles=[REPORT])
    evaluate["Arguments"]["Environment"]["ACCURACY"] = {"Get": "Parameters.Accuracy"}
    keep = reading(script("Keep", bucket, "cp /opt/ml/processing/in/report.json $OUT/kept.json"), "Evaluate")
    message = {"Std:Join": {"On": " ", "Values": [ACCURACY, "is under", 0.8]}}
    gate = {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "GreaterThanOrEqualTo", "LeftValue": ACCURACY, "RightValue": 0.8}],
            "IfSteps": [keep],
            "ElseSteps": [{"Name": "TooLow", "Type": "Fail", "Arguments": {"ErrorMessage": message}}],
        },
    }
    name = create(sagemaker, evaluate, gate, parameters=[{"Name": "Accuracy", "Type": "String"}])
    parameters = [{"Name": "Accuracy", "Value": accuracy}]
    started = sagemaker.start_pipeline_execution(PipelineName=name, PipelineParameters=parameters)
    arn = started["PipelineExecutionArn"]

    execution, steps = finished(sagemaker, arn), steps_of(sagemaker, arn)
    assert list(steps) == ["Evaluate", "Gate", last]
    if last == "Keep":
        assert execution["PipelineExecutionStatus"] == "Succeeded", execution
        key = f"{arn.rpartition('/')[2]}/Keep/kept.json"
        kept = json.loads(client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
        assert kept == {"metrics": {"accuracy": 0.9}}
        job = steps["Keep"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
        tags = sagemaker.list_tags(
            ResourceArn=sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobArn"]
        )
        assert {"Key": "sagemaker:pipeline-execution-arn", "Value": arn} in tags["Tags"]
    else:
        assert execution["PipelineExecutionStatus"] == "Failed"
        assert execution["FailureReason"].endswith("TooLow: 0.5 is under 0.8")
        assert steps["TooLow"]["Metadata"] == {"Fail": {"ErrorMessage": "0.5 is under 0.8"}}


def test_a_job_that_crashes_shows_its_last_error(sagemaker: Any, bucket: str) -> None:
    code = "echo 'ValueError: the archive has no images' > /opt/ml/output/message; exit 3"
    name = create(sagemaker, script("Prepare", bucket, code))
    arn = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
    execution = finished(sagemaker, arn)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "the archive has no images" in execution["FailureReason"]
    assert "the archive has no images" in steps_of(sagemaker, arn)["Prepare"]["FailureReason"]
    listed = sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    assert listed[0]["PipelineExecutionFailureReason"] == execution["FailureReason"]


def test_stop_ends_the_running_job(sagemaker: Any, bucket: str) -> None:
    steps = (script("Slow", bucket, "sleep 600"), script("After", bucket, "true", DependsOn=["Slow"]))
    arn = sagemaker.start_pipeline_execution(PipelineName=create(sagemaker, *steps))["PipelineExecutionArn"]
    wait_for_step(sagemaker, arn, "Slow", "Executing")
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert finished(sagemaker, arn)["PipelineExecutionStatus"] == "Stopped"
    slow = steps_of(sagemaker, arn)["Slow"]
    assert slow["StepStatus"] == "Stopped"
    job = slow["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "Stopped"


def test_retry_goes_on_where_it_failed(sagemaker: Any, client: Any, bucket: str) -> None:
    flag = f"s3://{bucket}/flags/{uuid.uuid4().hex}"
    second = script("Second", bucket, "test -s /opt/ml/processing/flag/on || exit 1", DependsOn=["First"])
    second["Arguments"]["ProcessingInputs"] = [
        {
            "InputName": "flag",
            "S3Input": {
                "S3Uri": flag,
                "LocalPath": "/opt/ml/processing/flag",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
    ]
    key = flag.removeprefix(f"s3://{bucket}/") + "/on"
    client("s3").put_object(Bucket=bucket, Key=key, Body=b"")
    name = create(sagemaker, script("First", bucket, "date +%N > $OUT/first"), second)
    arn = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
    assert finished(sagemaker, arn)["PipelineExecutionStatus"] == "Failed"
    before = steps_of(sagemaker, arn)["First"]
    client("s3").put_object(Bucket=bucket, Key=key, Body=b"on")
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    assert finished(sagemaker, arn)["PipelineExecutionStatus"] == "Succeeded"
    assert steps_of(sagemaker, arn)["First"] == before


def test_an_unchanged_step_is_answered_from_the_cache(sagemaker: Any, bucket: str) -> None:
    cache = {"CacheConfig": {"Enabled": True, "ExpireAfter": "PT1H"}}
    first = script("First", bucket, "echo 1 > $OUT/first", **cache)
    second = reading(script("Second", bucket, "cp /opt/ml/processing/in/first $OUT/", **cache), "First")
    name = create(sagemaker, first, second)
    arns = []
    for _ in range(2):
        arns.append(sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"])
        assert finished(sagemaker, arns[-1])["PipelineExecutionStatus"] == "Succeeded"
    made, reused = (steps_of(sagemaker, arn) for arn in arns)
    for step in ("First", "Second"):
        assert "CacheHitResult" not in made[step]
        assert reused[step]["CacheHitResult"] == {"SourcePipelineExecutionArn": arns[0]}
        assert reused[step]["Metadata"] == made[step]["Metadata"]


def test_a_callback_step(sagemaker: Any, client: Any, bucket: str) -> None:
    queue = client("sqs").create_queue(QueueName=f"callbacks-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    ask = {
        "Name": "Ask",
        "Type": "Callback",
        "SqsQueueUrl": queue,
        "Arguments": {"question": "go on?", "execution": {"Get": "Execution.PipelineExecutionId"}},
        "OutputParameters": [{"OutputName": "answer", "OutputType": "String"}],
    }
    act = script("Act", bucket, "echo $ANSWER > $OUT/answer")
    act["Arguments"]["Environment"]["ANSWER"] = {"Get": "Steps.Ask.OutputParameters['answer']"}
    arn = sagemaker.start_pipeline_execution(PipelineName=create(sagemaker, ask, act))["PipelineExecutionArn"]
    (message,) = client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    body = json.loads(message["Body"])
    identity = arn.rpartition("/")[2]
    assert body["arguments"] == {"question": "go on?", "execution": identity}
    assert (body["pipelineExecutionArn"], body["status"]) == (arn, "Executing")
    sagemaker.send_pipeline_execution_step_success(
        CallbackToken=body["token"], OutputParameters=[{"Name": "answer", "Value": "yes"}]
    )
    assert finished(sagemaker, arn)["PipelineExecutionStatus"] == "Succeeded"
    answer = client("s3").get_object(Bucket=bucket, Key=f"{identity}/Act/answer")["Body"].read()
    assert answer == b"yes\n"


def test_a_lambda_step(sagemaker: Any, client: Any, bucket: str) -> None:
    code = "def handler(event, context):\n    return {'twice': 2 * event['n']}\n"
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = client("iam").create_role(
        RoleName=f"twice-{uuid.uuid4().hex[:8]}",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", code)
    function = client("lambda").create_function(
        FunctionName=f"twice-{uuid.uuid4().hex[:8]}",
        Runtime="python3.11",
        Role=role,
        Handler="index.handler",
        Code={"ZipFile": archive.getvalue()},
    )["FunctionArn"]
    step = {
        "Name": "Twice",
        "Type": "Lambda",
        "FunctionArn": function,
        "Arguments": {"n": {"Get": "Parameters.N"}},
        "OutputParameters": [{"OutputName": "twice", "OutputType": "Integer"}],
    }
    message = {"Std:Join": {"On": "=", "Values": ["twice", {"Get": "Steps.Twice.OutputParameters['twice']"}]}}
    stop = {"Name": "Say", "Type": "Fail", "Arguments": {"ErrorMessage": message}}
    name = create(sagemaker, step, stop, parameters=[{"Name": "N", "Type": "Integer", "DefaultValue": 21}])
    arn = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
    assert finished(sagemaker, arn)["FailureReason"].endswith("Say: twice=42")


def test_an_execution_outlives_the_server(tmp_path: Path) -> None:
    retry = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 0, "MaxAttempts": 3}
    state_dir = tmp_path / "state"
    running = control.up(state_dir)
    try:
        make_client(running.endpoint_url, "s3").create_bucket(Bucket="outlives")
        sagemaker = make_client(running.endpoint_url, "sagemaker")
        first = script("First", "outlives", "echo 1 > $OUT/first")
        code = "sleep 2; cp /opt/ml/processing/in/first $OUT/second"
        second = reading(script("Second", "outlives", code, RetryPolicies=[retry]), "First")
        last = script("Last", "outlives", "true", DependsOn=["Second"])
        name = create(sagemaker, first, second, last)
        arn = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
        wait_for_step(sagemaker, arn, "Second", "Executing")
        before = steps_of(sagemaker, arn)["First"]
        os.kill(running.pid, signal.SIGKILL)
        wait_for(lambda: control.status(state_dir) is None, "the end of the local AWS")
        running = control.up(state_dir)
        sagemaker = make_client(running.endpoint_url, "sagemaker")
        execution, steps = finished(sagemaker, arn), steps_of(sagemaker, arn)
        assert execution["PipelineExecutionStatus"] == "Succeeded", execution
        assert steps["First"] == before
        assert [(name, steps[name]["AttemptCount"]) for name in steps] == [
            ("First", 1),
            ("Second", 2),
            ("Last", 1),
        ]
    finally:
        control.down(state_dir)
