"""Transform jobs over HTTP: a real model server, real objects in and out."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.endpoints import BUCKET, Endpoints
from tests.functional.jobs import FINAL
from tests.shapes import assert_answer
from tests.waiting import wait_for

# Says in capitals what it was sent, and how; refuses, breaks and dawdles on demand.
INFERENCE = """
import json, os, time

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    data = body if isinstance(body, bytes) else body.encode()
    if data == b"bad":
        raise ValueError("this is a bad record")
    if data == b"broken":
        raise RuntimeError("the model broke")
    if data == b"slow":
        time.sleep(120)
    return data.decode()

def predict_fn(data, model):
    return os.environ.get("SAGEMAKER_BATCH") if data == "batch?" else data.upper()

def output_fn(prediction, accept):
    return json.dumps([prediction, accept]) if accept == "application/json" else prediction
"""


class Transforms:
    def __init__(self, client: Callable[..., Any]) -> None:
        self.sagemaker, self.s3 = client("sagemaker"), client("s3")
        self.endpoints = Endpoints(client)
        self.model = self.endpoints.model("transforms", INFERENCE)

    def put(self, objects: dict[str, bytes]) -> str:
        prefix = f"in-{uuid.uuid4().hex[:8]}"
        for name, body in objects.items():
            self.s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=body)
        return f"s3://{BUCKET}/{prefix}"

    def start(self, uri: str, source: Any = None, output: Any = None, given: Any = None, **more: Any) -> str:
        name = f"transform-{uuid.uuid4().hex[:8]}"
        data = {"S3DataType": "S3Prefix", "S3Uri": uri} | (source or {})
        answer = self.sagemaker.create_transform_job(
            **{
                "TransformJobName": name,
                "ModelName": self.model,
                "TransformInput": {"ContentType": "text/plain", "DataSource": {"S3DataSource": data}}
                | (given or {}),
                "TransformOutput": {"S3OutputPath": f"s3://{BUCKET}/out/{name}", "Accept": "text/plain"}
                | (output or {}),
                "TransformResources": {"InstanceCount": 1, "InstanceType": "ml.m5.large"},
            }
            | more
        )
        assert_answer("sagemaker", "CreateTransformJob", answer)
        return name

    def describe(self, name: str) -> dict[str, Any]:
        found = self.sagemaker.describe_transform_job(TransformJobName=name)
        assert_answer("sagemaker", "DescribeTransformJob", found)
        return found

    def wait(self, name: str, statuses: tuple[str, ...] = FINAL, seconds: float = 60) -> dict[str, Any]:
        return wait_for(
            lambda: self.describe(name),
            f"{name} {statuses}",
            seconds,
            until=lambda job: job["TransformJobStatus"] in statuses,
        )

    def outputs(self, name: str) -> dict[str, bytes]:
        prefix = f"out/{name}/"
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        keys = [item["Key"] for item in found]
        bodies = {key: self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
        return {key.removeprefix(prefix): body for key, body in bodies.items()}

    def run(self, objects: dict[str, bytes], **more: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
        name = self.start(self.put(objects), **more)
        return self.wait(name), self.outputs(name)


@pytest.fixture(scope="module")
def transforms(client: Callable[..., Any]) -> Transforms:
    client("s3").create_bucket(Bucket=BUCKET)
    return Transforms(client)


def test_every_object_gets_its_out(transforms):
    objects = {"a.txt": b"one", "deep/b.txt": b"two", "batch.txt": b"batch?"}
    job, outputs = transforms.run(objects, MaxConcurrentTransforms=4)
    assert job["TransformJobStatus"] == "Completed"
    assert job["TransformStartTime"] <= job["TransformEndTime"]
    assert outputs == {"a.txt.out": b"ONE", "deep/b.txt.out": b"TWO", "batch.txt.out": b"true"}


@pytest.mark.parametrize(
    ("strategy", "assemble", "expected"),
    [
        ("SingleRecord", "Line", b"A\nB\nC\n"),
        ("SingleRecord", "None", b"ABC"),
        ("MultiRecord", "Line", b"A\nB\nC\n"),
        ("MultiRecord", "None", b"A\nB\nC"),
    ],
)
def test_lines_are_records(transforms, strategy, assemble, expected):
    job, outputs = transforms.run(
        {"lines.csv.gz": gzip.compress(b"a\nb\r\n\nc\n")},
        given={"SplitType": "Line", "CompressionType": "Gzip"},
        output={"AssembleWith": assemble},
        BatchStrategy=strategy,
    )
    assert job["TransformJobStatus"] == "Completed"
    assert outputs == {"lines.csv.gz.out": expected}


def test_manifest_and_accept(transforms):
    uri = transforms.put({"a.txt": b"one", "b.txt": b"two", "c.manifest": b""})
    manifest = json.dumps([{"prefix": f"{uri}/"}, "b.txt"]).encode()
    where = transforms.put({"list.json": manifest}) + "/list.json"
    name = transforms.start(
        where, source={"S3DataType": "ManifestFile"}, output={"Accept": "application/json"}
    )
    assert transforms.wait(name)["TransformJobStatus"] == "Completed"
    assert transforms.outputs(name) == {"b.txt.out": b'["TWO", "application/json"]'}


def test_one_bad_object_fails_the_job_and_leaves_the_others_results(transforms, client):
    job, outputs = transforms.run({"a.txt": b"one", "bad.txt": b"bad", "c.txt": b"three"})
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: See job logs for more information (")
    bad = "bad.txt: Bad HTTP status received from algorithm: 400: this is a bad record"
    assert bad in job["FailureReason"]
    assert set(outputs) == {"a.txt.out", "c.txt.out"}
    streams = client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=job["TransformJobName"]
    )["logStreams"]
    (data_log,) = [s["logStreamName"] for s in streams if s["logStreamName"].endswith("/data-log")]
    events = client("logs").get_log_events(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamName=data_log
    )["events"]
    text = "\n".join(event["message"] for event in events)
    assert "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD" in text
    assert bad in text


def test_a_model_that_breaks_is_the_algorithms_error(transforms):
    job, _ = transforms.run({"a.txt": b"broken"}, ModelClientConfig={"InvocationsMaxRetries": 0})
    assert job["FailureReason"].startswith("AlgorithmError: See job logs for more information (")


def test_payload_over_the_limit(transforms):
    job, outputs = transforms.run({"big.txt": b"x" * (1 << 20 | 1)}, MaxPayloadInMB=1)
    assert "is over the maximum payload of 1 MB" in job["FailureReason"]
    assert outputs == {}


def test_nothing_under_the_prefix(transforms):
    job = transforms.wait(transforms.start(f"s3://{BUCKET}/nowhere"))
    assert job["FailureReason"].startswith("ClientError: No S3 objects found under S3 URL")


def test_container_that_never_answers(transforms, client):
    model = transforms.endpoints.model("dead", "def model_fn(model_dir):\n    raise OSError('no weights')\n")
    job, _ = transforms.run({"a.txt": b"one"}, ModelName=model)
    assert job["TransformJobStatus"] == "Failed"
    assert "did not pass the ping health check (OSError: no weights)" in job["FailureReason"]


def test_stop(transforms):
    name = transforms.start(transforms.put({"a.txt": b"one", "z.txt": b"slow"}), MaxConcurrentTransforms=2)
    wait_for(lambda: transforms.outputs(name), "an output", 60, until=lambda outputs: "a.txt.out" in outputs)
    transforms.sagemaker.stop_transform_job(TransformJobName=name)
    assert transforms.wait(name, seconds=20)["TransformJobStatus"] == "Stopped"
    assert set(transforms.outputs(name)) == {"a.txt.out"}
    with pytest.raises(ClientError, match="is in status Stopped"):
        transforms.sagemaker.stop_transform_job(TransformJobName=name)


def test_list_and_unique_names(transforms):
    name = transforms.start(transforms.put({"a.txt": b"one"}))
    with pytest.raises(ClientError, match="must be unique"):
        transforms.start(f"s3://{BUCKET}/x", TransformJobName=name)
    transforms.wait(name)
    listed = transforms.sagemaker.list_transform_jobs(NameContains=name, StatusEquals="Completed")
    assert_answer("sagemaker", "ListTransformJobs", listed)
    assert [each["TransformJobName"] for each in listed["TransformJobSummaries"]] == [name]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"ModelName": "nobody"}, "Could not find model"),
        ({"MaxConcurrentTransforms": 20, "MaxPayloadInMB": 6}, "cannot exceed 100 MB"),
        ({"given": {"SplitType": "TFRecord"}}, "no such SplitType"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "no such JoinSource"),
    ],
)
def test_refused(transforms, members, message):
    with pytest.raises(ClientError, match=message):
        transforms.start(f"s3://{BUCKET}/x", **members)


def test_a_job_that_ran_when_the_server_was_killed_is_failed_afterwards(own_aws):
    own_aws.client("s3").create_bucket(Bucket=BUCKET)
    transforms = Transforms(own_aws.client)
    name = transforms.start(transforms.put({"a.txt": b"slow"}))
    own_aws.restart()
    transforms.sagemaker = own_aws.client("sagemaker")
    job = transforms.describe(name)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == "InternalServerError: the local AWS was stopped while the job ran"
