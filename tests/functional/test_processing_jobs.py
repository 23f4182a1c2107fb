"""Processing jobs over HTTP: real processes, real objects, real logs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.jobs import FINAL, IMAGE, ROLE
from tests.shapes import assert_answer
from tests.waiting import wait_for


@pytest.fixture
def run(client: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Creates a job from a shell script and waits for its end."""

    def run(script: str, *arguments: str, wait: bool = True, **more: Any) -> dict[str, Any]:
        sagemaker = client("sagemaker")
        name = f"job-{uuid.uuid4().hex[:8]}"
        instances = more.pop("instances", 1)
        answer = sagemaker.create_processing_job(
            ProcessingJobName=name,
            RoleArn=ROLE,
            AppSpecification={
                "ImageUri": more.pop("image", IMAGE),
                "ContainerEntrypoint": more.pop("entry_point", ["/bin/bash", "-c", script, "job"]),
                **({"ContainerArguments": list(arguments)} if arguments else {}),
            },
            ProcessingResources={
                "ClusterConfig": {
                    "InstanceCount": instances,
                    "InstanceType": "ml.m5.large",
                    "VolumeSizeInGB": 1,
                }
            },
            **more,
        )
        assert_answer("sagemaker", "CreateProcessingJob", answer)
        if wait:
            return wait_for_job(sagemaker, name)
        return sagemaker.describe_processing_job(ProcessingJobName=name)

    return run


def wait_for_job(
    sagemaker: Any, name: str, statuses: tuple[str, ...] = FINAL, seconds: float = 60
) -> dict[str, Any]:
    def describe() -> dict[str, Any]:
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        assert_answer("sagemaker", "DescribeProcessingJob", job)
        return job

    return wait_for(
        describe, f"{name} {statuses}", seconds, until=lambda job: job["ProcessingJobStatus"] in statuses
    )


def log_lines(client: Callable[..., Any], name: str, host: str = "algo-1") -> list[str]:
    logs = client("logs")
    group = "/aws/sagemaker/ProcessingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/{host}-")[
        "logStreams"
    ]
    assert len(streams) == 1
    events = logs.get_log_events(
        logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True
    )
    return [event["message"] for event in events["events"]]


def s3_input(uri: str, path: str, **more: str) -> dict[str, Any]:
    s3 = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File", **more}
    return {"InputName": path.rpartition("/")[2], "S3Input": s3}


def s3_output(uri: str, path: str, mode: str = "EndOfJob") -> dict[str, Any]:
    name = path.rpartition("/")[2]
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode}}


def keys(client: Callable[..., Any], bucket: str, prefix: str) -> list[str]:
    answer = client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for item in answer.get("Contents", [])]


def test_inputs_go_through_the_container_to_outputs(
    client: Callable[..., Any], run: Any, bucket: str
) -> None:
    s3 = client("s3")
    for name in ("a.txt", "deep/b.txt"):
        s3.put_object(Bucket=bucket, Key=f"in/{name}", Body=name.encode())
    job = run(
        "cd /opt/ml/processing; mkdir -p output/deep; cat input/a.txt > output/a.out; "
        'cat input/deep/b.txt > output/deep/b.out; echo "$1 $COLOUR $(hostname)"; '
        "echo done > /opt/ml/output/message",
        "an argument",
        Environment={"COLOUR": "red"},
        ProcessingInputs=[s3_input(f"s3://{bucket}/in", "/opt/ml/processing/input")],
        ProcessingOutputConfig={"Outputs": [s3_output(f"s3://{bucket}/out/", "/opt/ml/processing/output")]},
        Tags=[{"Key": "team", "Value": "routing"}],
    )
    assert job["ProcessingJobStatus"] == "Completed", job
    assert job["ExitMessage"] == "done"
    assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    assert keys(client, bucket, "out/") == ["out/a.out", "out/deep/b.out"]
    assert s3.get_object(Bucket=bucket, Key="out/deep/b.out")["Body"].read() == b"deep/b.txt"
    assert log_lines(client, job["ProcessingJobName"]) == ["an argument red algo-1"]
    tags = client("sagemaker").list_tags(ResourceArn=job["ProcessingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "routing"}]


def test_odd_names_and_large_files_travel_unharmed(client: Callable[..., Any], run: Any, bucket: str) -> None:
    s3 = client("s3")
    names = ["mit Leer zeichen.txt", "é+&=?#%41.txt", "empty", "folder/a:b@c.txt"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=f"in/{name}", Body=b"" if name == "empty" else name.encode())
    s3.put_object(Bucket=bucket, Key="in/folder/", Body=b"")
    large = bytes(range(256)) * 40_000  # more than goes in one request
    s3.put_object(Bucket=bucket, Key="in/large", Body=large)
    job = run(
        "cp -r /opt/ml/processing/input/. /opt/ml/processing/output/",
        ProcessingInputs=[s3_input(f"s3://{bucket}/in", "/opt/ml/processing/input")],
        ProcessingOutputConfig={"Outputs": [s3_output(f"s3://{bucket}/out", "/opt/ml/processing/output")]},
    )
    assert job["ProcessingJobStatus"] == "Completed", job
    assert sorted(keys(client, bucket, "out/")) == sorted(f"out/{name}" for name in [*names, "large"])
    for name in names[:2]:
        assert s3.get_object(Bucket=bucket, Key=f"out/{name}")["Body"].read() == name.encode()
    assert s3.get_object(Bucket=bucket, Key="out/large")["Body"].read() == large


def test_an_output_that_cannot_be_written_fails_the_job(run: Any) -> None:
    job = run(
        "echo x > /opt/ml/processing/output/x",
        ProcessingOutputConfig={"Outputs": [s3_output("s3://no-such-bucket/o", "/opt/ml/processing/output")]},
    )
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(
        "ClientError: Uploading to s3://no-such-bucket/o/x failed: NoSuchBucket"
    )


def test_a_manifest_names_the_objects(client: Callable[..., Any], run: Any, bucket: str) -> None:
    for name in ("a/1", "a/2", "a/3"):
        client("s3").put_object(Bucket=bucket, Key=name, Body=b"x")
    manifest = json.dumps([{"prefix": f"s3://{bucket}/a/"}, "1", "3"])
    client("s3").put_object(Bucket=bucket, Key="the.manifest", Body=manifest.encode())
    place = s3_input(f"s3://{bucket}/the.manifest", "/opt/ml/processing/input", S3DataType="ManifestFile")
    job = run("ls /opt/ml/processing/input", ProcessingInputs=[place])
    assert log_lines(client, job["ProcessingJobName"]) == ["1", "3"]


def test_a_crash_shows_the_jobs_own_last_error(client: Callable[..., Any], run: Any, bucket: str) -> None:
    job = run(
        "",
        entry_point=["python3", "-c", "print('fine so far'); raise ValueError('no class named unicycle')"],
        ProcessingOutputConfig={"Outputs": [s3_output(f"s3://{bucket}/out", "/opt/ml/processing/output")]},
    )
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: ValueError: no class named unicycle, exit code: 1"
    assert keys(client, bucket, "out") == []
    assert "ValueError: no class named unicycle" in log_lines(client, job["ProcessingJobName"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mystery:1"}, "'mystery'"),
        ({"entry_point": ["/no/such/program"]}, "executable file not found"),
        ({"ProcessingInputs": [s3_input("s3://no-such-bucket/x", "/opt/ml/processing/x")]}, "NoSuchBucket"),
    ],
)
def test_what_cannot_run_says_why(run: Any, changes: dict[str, Any], reason: str) -> None:
    job = run("true", **changes)
    assert job["ProcessingJobStatus"] == "Failed"
    assert reason in job["FailureReason"]


def test_several_instances_share_the_keys(client: Callable[..., Any], run: Any, bucket: str) -> None:
    for number in range(5):
        client("s3").put_object(Bucket=bucket, Key=f"in/{number}", Body=b"x")
    job = run(
        "cat /opt/ml/config/resourceconfig.json; echo; "
        "cd /opt/ml/processing; ls input | sort > output/$(hostname)",
        instances=2,
        ProcessingInputs=[
            s3_input(
                f"s3://{bucket}/in/", "/opt/ml/processing/input", S3DataDistributionType="ShardedByS3Key"
            )
        ],
        ProcessingOutputConfig={"Outputs": [s3_output(f"s3://{bucket}/out", "/opt/ml/processing/output")]},
    )
    assert job["ProcessingJobStatus"] == "Completed", job
    shares = [
        client("s3").get_object(Bucket=bucket, Key=f"out/algo-{host}")["Body"].read().decode().split()
        for host in (1, 2)
    ]
    assert shares == [["0", "2", "4"], ["1", "3"]]
    line = '{"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}'
    assert log_lines(client, job["ProcessingJobName"], "algo-2") == [line]


def test_a_job_can_be_stopped(client: Callable[..., Any], run: Any, bucket: str) -> None:
    sagemaker = client("sagemaker")
    job = run(
        "echo up; sleep 60",
        wait=False,
        ProcessingOutputConfig={"Outputs": [s3_output(f"s3://{bucket}/out", "/opt/ml/processing/output")]},
    )
    name = job["ProcessingJobName"]
    wait_for(
        lambda: sagemaker.describe_processing_job(ProcessingJobName=name),
        "the start",
        30,
        until=lambda job: "ProcessingStartTime" in job,
    )
    sagemaker.stop_processing_job(ProcessingJobName=name)
    job = wait_for_job(sagemaker, name, seconds=10)
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in job
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_processing_job(ProcessingJobName=name)


def test_a_job_that_takes_too_long_is_stopped(run: Any) -> None:
    job = run("sleep 60", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "1 seconds" in job["ExitMessage"]


def test_continuous_outputs_arrive_while_the_job_runs(
    client: Callable[..., Any], run: Any, bucket: str
) -> None:
    job = run(
        "echo early > /opt/ml/processing/live/first; sleep 60",
        wait=False,
        ProcessingOutputConfig={
            "Outputs": [s3_output(f"s3://{bucket}/live", "/opt/ml/processing/live", "Continuous")]
        },
    )
    wait_for(lambda: keys(client, bucket, "live"), "the output", 30, until=lambda now: now == ["live/first"])
    name = job["ProcessingJobName"]
    assert wait_for_job(client("sagemaker"), name, ("InProgress",))
    client("sagemaker").stop_processing_job(ProcessingJobName=name)
    wait_for_job(client("sagemaker"), name)


def test_names_are_unique_and_listed(client: Callable[..., Any], run: Any) -> None:
    sagemaker = client("sagemaker")
    job = run("true")
    name = job["ProcessingJobName"]
    listed = sagemaker.list_processing_jobs(NameContains=name, StatusEquals="Completed")
    assert_answer("sagemaker", "ListProcessingJobs", listed)
    assert [item["ProcessingJobName"] for item in listed["ProcessingJobSummaries"]] == [name]
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="already exists"):
        sagemaker.create_processing_job(
            ProcessingJobName=name,
            RoleArn=ROLE,
            AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": ["true"]},
            ProcessingResources=job["ProcessingResources"],
        )
    with pytest.raises(ClientError, match="Could not find requested job with name: nobody"):
        sagemaker.describe_processing_job(ProcessingJobName="nobody")


def test_what_is_not_there_is_refused(run: Any) -> None:
    definition = {
        "LocalPath": "/opt/ml/processing/x",
        "AthenaDatasetDefinition": {
            "Catalog": "c",
            "Database": "d",
            "QueryString": "q",
            "OutputS3Uri": "s3://b/k",
            "OutputFormat": "PARQUET",
        },
    }
    with pytest.raises(ClientError, match="has no DatasetDefinition; use S3Input"):
        run("true", ProcessingInputs=[{"InputName": "x", "DatasetDefinition": definition}])


@pytest.mark.parametrize("path", ["/tmp/x", "/opt/ml/processing/../../x"])
def test_a_path_outside_the_container_is_refused(run: Any, path: str) -> None:
    with pytest.raises(ClientError, match="must be under /opt/ml/processing"):
        run("true", ProcessingInputs=[s3_input("s3://bucket/x", path)])
