"""Training jobs over HTTP: script mode by the container toolkit's contract, and any other entry point."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import random
import tarfile
import time
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.jobs import FINAL, IMAGE, ROLE
from tests.shapes import assert_answer
from tests.waiting import wait_for


@pytest.fixture
def train(client: Callable[..., Any], bucket: str) -> Callable[..., dict[str, Any]]:
    """Runs a script in script mode, or a shell command where `command` is given."""

    def train(script: str = "", *, command: str = "", wait: bool = True, **more: Any) -> dict[str, Any]:
        name = f"job-{uuid.uuid4().hex[:8]}"
        specification: dict[str, Any] = {
            "TrainingImage": more.pop("image", IMAGE),
            "TrainingInputMode": "File",
        }
        hyperparameters = more.pop("HyperParameters", {})
        if command:
            specification["ContainerEntrypoint"] = ["/bin/bash", "-c", command]
        else:
            uri = put_code(client("s3"), bucket, {"train.py": script, **more.pop("files", {})})
            hyperparameters |= {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": json.dumps(uri),
            }
        if metrics := more.pop("metrics", None):
            specification["MetricDefinitions"] = [{"Name": n, "Regex": r} for n, r in metrics.items()]
        resources = {
            "InstanceCount": more.pop("instances", 1),
            "InstanceType": "ml.m5.large",
            "VolumeSizeInGB": 1,
        }
        answer = client("sagemaker").create_training_job(
            **{
                "TrainingJobName": name,
                "RoleArn": ROLE,
                "AlgorithmSpecification": specification,
                "HyperParameters": hyperparameters,
                "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
                "ResourceConfig": resources,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                **more,
            }
        )
        assert_answer("sagemaker", "CreateTrainingJob", answer)
        return wait_for_job(client("sagemaker"), name) if wait else answer | {"TrainingJobName": name}

    return train


def put_code(s3: Any, bucket: str, files: dict[str, str | bytes]) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            content = text if isinstance(text, bytes) else text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    key = f"code/{uuid.uuid4().hex}/sourcedir.tar.gz"
    s3.put_object(Bucket=bucket, Key=key, Body=buffer.getvalue())
    return f"s3://{bucket}/{key}"


def wait_for_job(
    sagemaker: Any, name: str, statuses: tuple[str, ...] = FINAL, seconds: float = 60
) -> dict[str, Any]:
    def describe() -> dict[str, Any]:
        job = sagemaker.describe_training_job(TrainingJobName=name)
        assert_answer("sagemaker", "DescribeTrainingJob", job)
        return job

    def is_there(job: dict[str, Any]) -> bool:
        return job["TrainingJobStatus"] in statuses or job["SecondaryStatus"] in statuses

    return wait_for(describe, f"{name} {statuses}", seconds, until=is_there)


def channel(name: str, uri: str, **more: str) -> dict[str, Any]:
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, **more}},
        "ContentType": "image/png",
    }


def members(client: Callable[..., Any], uri: str) -> dict[str, bytes]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: file.read() for name, file in files.items() if file}


def log_text(client: Callable[..., Any], name: str, host: str = "algo-1") -> str:
    logs, group = client("logs"), "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/{host}-")[
        "logStreams"
    ]
    stream = streams[0]["logStreamName"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    return "\n".join(event["message"] for event in events)


SCRIPT = """
import json, os, sys, pathlib
import helper
environment = {name: value for name, value in os.environ.items() if name.startswith("SM_")}
for epoch in range(3):
    print(f"epoch={epoch} validation:accuracy=0.{epoch + 5}; train:loss=1e-{epoch};", flush=True)
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
(model / "code").mkdir()
(model / "model.json").write_text(json.dumps({"arguments": sys.argv[1:], "environment": environment}))
(model / "code" / "inference.py").write_text(helper.CODE)
(pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"]) / "curve.txt").write_text("up")
print(sorted(os.listdir(os.environ["SM_CHANNEL_TRAIN"])))
"""


def test_script_mode(client: Callable[..., Any], train: Any, bucket: str) -> None:
    for key in ("1.png", "deep/2.png"):
        client("s3").put_object(Bucket=bucket, Key=f"data/train/{key}", Body=b"pixels")
    job = train(
        SCRIPT,
        files={"helper.py": "CODE = '# serves'\n"},
        HyperParameters={
            "learning-rate": "0.1",
            "epochs": "3",
            "classes": "bicycle,motorcycle",
            "b": '"text"',
        },
        InputDataConfig=[channel("train", f"s3://{bucket}/data/train/")],
        metrics={"validation:accuracy": r"validation:accuracy=([0-9.]+)", "train:loss": r"train:loss=(\S+);"},
    )
    assert job["TrainingJobStatus"] == "Completed", job
    name = job["TrainingJobName"]
    artifacts = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert artifacts == f"s3://{bucket}/models/{name}/output/model.tar.gz"
    model = members(client, artifacts)
    assert model["code/inference.py"] == b"# serves"
    seen = json.loads(model["model.json"])
    assert seen["arguments"] == (
        ["-b", "text", "--classes", "bicycle,motorcycle", "--epochs", "3", "--learning-rate", "0.1"]
    )
    environment = seen["environment"]
    assert environment["SM_CHANNELS"] == '["train"]'
    assert environment["SM_CURRENT_HOST"] == "algo-1"
    assert json.loads(environment["SM_HPS"])["learning-rate"] == 0.1
    assert json.loads(environment["SM_TRAINING_ENV"])["job_name"] == name
    assert members(client, f"s3://{bucket}/models/{name}/output/output.tar.gz") == {"curve.txt": b"up"}
    final = {item["MetricName"]: item["Value"] for item in job["FinalMetricDataList"]}
    assert final == pytest.approx({"validation:accuracy": 0.7, "train:loss": 0.01})
    statuses = [item["Status"] for item in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Pending", "Downloading", "Training", "Uploading", "Completed"]
    assert all("EndTime" in item for item in job["SecondaryStatusTransitions"])
    assert job["BillableTimeInSeconds"] >= 1
    assert "['1.png', 'deep']" in log_text(client, name)


def test_metrics_reach_cloudwatch(client: Callable[..., Any], train: Any) -> None:
    job = train(command="echo score=0.25; echo score=0.75", metrics={"score": "score=([0-9.]+)"})
    host = f"{job['TrainingJobName']}/algo-1"
    statistics = client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="score",
        Dimensions=[{"Name": "Host", "Value": host}],
        StartTime=job["CreationTime"].timestamp() - 60,
        EndTime=job["TrainingEndTime"].timestamp() + 60,
        Period=3600,
        Statistics=["Maximum", "Minimum"],
    )["Datapoints"]
    assert [(point["Minimum"], point["Maximum"]) for point in statistics] == [(0.25, 0.75)]


def test_a_crash_shows_the_jobs_own_last_error(client: Callable[..., Any], train: Any) -> None:
    job = train("def load():\n    raise ValueError('the train channel is empty')\nload()\n")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    reason = job["FailureReason"]
    assert reason.startswith('AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "')
    assert 'ValueError: the train channel is empty"\nCommand "' in reason
    assert reason.endswith('train.py", exit code: 1')
    assert "ValueError: the train channel is empty" in log_text(client, job["TrainingJobName"])


def test_the_jobs_own_failure_file_comes_first(train: Any) -> None:
    job = train(
        "open('/opt/ml/output/failure', 'w').write('epochs must be 1 or more')\nraise SystemExit(3)\n"
    )
    assert job["FailureReason"] == "AlgorithmError: epochs must be 1 or more, exit code: 3"


def test_a_failure_file_that_says_nothing_gets_the_logs_last_error(train: Any) -> None:
    crash = "python3 -c 'raise KeyError(42)'"
    job = train(command=f"{crash}; echo Training failed, see logs > /opt/ml/output/failure; exit 9")
    reason = "AlgorithmError: Training failed, see logs, exit code: 9 (last error in its log: KeyError: 42)"
    assert job["FailureReason"] == reason


def test_requirements_are_installed_for_the_job_only(client: Callable[..., Any], train: Any) -> None:
    job = train(
        "import greeting\nprint(greeting.WORD)\n",
        files={"requirements.txt": f"--no-index\n./{WHEEL}\n", WHEEL: wheel()},
    )
    assert job["TrainingJobStatus"] == "Completed", job
    assert "hello from the wheel" in log_text(client, job["TrainingJobName"])
    assert importlib.util.find_spec("greeting") is None


WHEEL = "greeting-1.0-py3-none-any.whl"


def wheel() -> bytes:
    """The smallest package that pip installs."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("greeting.py", "WORD = 'hello from the wheel'\n")
        archive.writestr(
            "greeting-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n"
        )
        archive.writestr(
            "greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("greeting-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("files", "hyperparameters", "reason"),
    [
        (
            {"requirements.txt": "--no-index\nno-such-package-of-ours==1.0\n"},
            {},
            "No matching distribution found for no-such-package-of-ours==1.0",
        ),
        ({}, {"sagemaker_program": "other.py"}, "The script other.py is not in s3://"),
        ({}, {"sagemaker_submit_directory": "s3://no-such-bucket/x.tar.gz"}, "cannot be fetched"),
    ],
)
def test_script_mode_mistakes(
    train: Any, files: dict[str, str], hyperparameters: dict[str, str], reason: str, client: Any, bucket: str
) -> None:
    code = {"sagemaker_program": "train.py"}
    code["sagemaker_submit_directory"] = put_code(client("s3"), bucket, {"train.py": "print(1)", **files})
    job = create(client, bucket, code | hyperparameters)
    assert job["TrainingJobStatus"] == "Failed"
    assert reason in job["FailureReason"]


def create(client: Callable[..., Any], bucket: str, hyperparameters: dict[str, str]) -> dict[str, Any]:
    name = f"job-{uuid.uuid4().hex[:8]}"
    client("sagemaker").create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        HyperParameters=hyperparameters,
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/models/"},
        ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    return wait_for_job(client("sagemaker"), name)


def test_a_stopped_job_keeps_what_it_has(client: Callable[..., Any], train: Any, bucket: str) -> None:
    script = (
        "import signal, sys, time\n"
        "def stop(*_):\n    open('/opt/ml/model/model.txt', 'w').write('half')\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    job = train(script, wait=False)
    name = job["TrainingJobName"]
    wait_for_job(client("sagemaker"), name, ("Training",))
    wait_for(lambda: log_of_running(client, name), "the word", 30, until=lambda log: "ready" in log)
    client("sagemaker").stop_training_job(TrainingJobName=name)
    ended = wait_for_job(client("sagemaker"), name, seconds=10)
    assert (ended["TrainingJobStatus"], ended["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "FailureReason" not in ended
    assert members(client, ended["ModelArtifacts"]["S3ModelArtifacts"]) == {"model.txt": b"half"}


def log_of_running(client: Callable[..., Any], name: str) -> str:
    try:
        return log_text(client, name)
    except (ClientError, IndexError):
        return ""


def test_a_job_that_takes_too_long_ends_by_itself(train: Any) -> None:
    job = train(command="sleep 60", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_checkpoints_outlive_the_job(client: Callable[..., Any], train: Any, bucket: str) -> None:
    config = {"S3Uri": f"s3://{bucket}/checkpoints"}
    count = "cd /opt/ml/checkpoints; echo x >> steps/count; cat steps/count; wc -l < steps/count"
    first = train(command=f"mkdir /opt/ml/checkpoints/steps; {count}", CheckpointConfig=config)
    second = train(command=count, CheckpointConfig=config)
    assert [first["TrainingJobStatus"], second["TrainingJobStatus"]] == ["Completed", "Completed"], second
    body = client("s3").get_object(Bucket=bucket, Key="checkpoints/steps/count")["Body"].read()
    assert body == b"x\nx\n"


def test_pipe_mode_feeds_a_pipe_an_epoch(client: Callable[..., Any], train: Any, bucket: str) -> None:
    bodies = [bytes([number]) * 300_000 for number in range(3)]
    for number, body in enumerate(bodies):
        client("s3").put_object(Bucket=bucket, Key=f"data/{number}", Body=body)
    source = channel("train", f"s3://{bucket}/data/") | {"InputMode": "Pipe"}
    # The second epoch is left early; the third is whole again.
    reads = "cd /opt/ml/input/data; md5sum < train_0; head -c 5 train_1 | wc -c; md5sum < train_2"
    job = train(command=reads, InputDataConfig=[source])
    assert job["TrainingJobStatus"] == "Completed", job
    whole = f"{hashlib.md5(b''.join(bodies)).hexdigest()}  -"
    assert log_text(client, job["TrainingJobName"]).splitlines() == [whole, "5", whole]


def test_pipe_mode_wraps_records(client: Callable[..., Any], train: Any, bucket: str) -> None:
    for key, body in (("a", b"12345"), ("b", b"123")):
        client("s3").put_object(Bucket=bucket, Key=f"data/{key}", Body=gzip.compress(body))
    source = channel("train", f"s3://{bucket}/data/")
    source |= {"InputMode": "Pipe", "RecordWrapperType": "RecordIO", "CompressionType": "Gzip"}
    job = train(command="cat /opt/ml/input/data/train_0 > /opt/ml/model/records", InputDataConfig=[source])
    records = members(client, job["ModelArtifacts"]["S3ModelArtifacts"])["records"]
    magic = bytes.fromhex("0a23d7ce")
    assert records == magic + b"\5\0\0\0" + b"12345\0\0\0" + magic + b"\3\0\0\0" + b"123\0"


def test_pipe_mode_unpacks_every_member(client: Callable[..., Any], train: Any, bucket: str) -> None:
    client("s3").put_object(
        Bucket=bucket, Key="data/a", Body=gzip.compress(b"one ") + gzip.compress(b"two") + bytes(512)
    )
    source = channel("train", f"s3://{bucket}/data/") | {"InputMode": "Pipe", "CompressionType": "Gzip"}
    job = train(command="cat /opt/ml/input/data/train_0", InputDataConfig=[source])
    assert log_text(client, job["TrainingJobName"]) == "one two"


@pytest.mark.parametrize(
    ("cut", "says"), [(200, "ends within its compressed data"), (None, "is not gzip: Not a gzipped file")]
)
def test_pipe_mode_ends_the_job_when_its_data_cannot_be_read(
    client: Callable[..., Any], train: Any, bucket: str, cut: int | None, says: str
) -> None:
    body = gzip.compress(random.Random(0).randbytes(100_000))[:cut] if cut else b"no gzip at all"
    client("s3").put_object(Bucket=bucket, Key="data/a", Body=body)
    source = channel("train", f"s3://{bucket}/data/") | {"InputMode": "Pipe", "CompressionType": "Gzip"}
    reads = "cat /opt/ml/input/data/train_0 > /dev/null; cat /opt/ml/input/data/train_1"
    job = train(command=reads, InputDataConfig=[source])
    assert (job["TrainingJobStatus"], says in job["FailureReason"]) == ("Failed", True), job


def test_an_output_that_is_no_s3_uri_is_refused(train: Any) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*is not an S3 URI"):
        train("", OutputDataConfig={"S3OutputPath": "https://somewhere/else"})


def test_an_isolated_job_reaches_nothing(client: Callable[..., Any], train: Any, bucket: str) -> None:
    client("s3").put_object(Bucket=bucket, Key="data/x", Body=b"x")
    connect = 'import socket, os; socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 5)'
    port = client("s3").meta.endpoint_url.rpartition(":")[2]
    command = f"cat /opt/ml/input/data/train/x; python3 -c '{connect}'"
    job = train(
        command=command,
        Environment={"PORT": port},
        InputDataConfig=[channel("train", f"s3://{bucket}/data/")],
        EnableNetworkIsolation=True,
    )
    assert "ConnectionRefusedError" in job["FailureReason"] or "unreachable" in job["FailureReason"], job
    assert (
        train(command=f"python3 -c '{connect}'", Environment={"PORT": port})["TrainingJobStatus"]
        == "Completed"
    )


def test_two_hosts_see_each_other(client: Callable[..., Any], train: Any) -> None:
    script = "import os, socket\nfor host in ('algo-1', 'algo-2'): socket.gethostbyname(host)\n"
    script += (
        "print(os.environ['SM_HOSTS'], os.environ['SM_CURRENT_HOST'], os.environ['SM_MASTER_HOSTNAME'])\n"
    )
    job = train(script, instances=2)
    assert job["TrainingJobStatus"] == "Completed", job
    for host in ("algo-1", "algo-2"):
        assert f'["algo-1","algo-2"] {host} algo-1' in log_text(client, job["TrainingJobName"], host)


def test_one_failing_host_ends_the_others(train: Any) -> None:
    started = time.monotonic()
    job = train(command="[ $(hostname) = algo-2 ] && exit 7; sleep 60", instances=2)
    assert job["TrainingJobStatus"] == "Failed"
    assert "exit code: 7" in job["FailureReason"]
    assert time.monotonic() - started < 20


def test_a_model_without_compression(client: Callable[..., Any], train: Any, bucket: str) -> None:
    output = {"S3OutputPath": f"s3://{bucket}/plain", "CompressionType": "NONE"}
    job = train(command="mkdir /opt/ml/model/a; echo x > /opt/ml/model/a/b", OutputDataConfig=output)
    place = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert place == f"s3://{bucket}/plain/{job['TrainingJobName']}/output/model/"
    key = place.removeprefix(f"s3://{bucket}/") + "a/b"
    assert client("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == b"x\n"


def test_an_unknown_image_is_named(train: Any) -> None:
    job = train("", image="382416733822.dkr.ecr.us-east-1.amazonaws.com/xgboost:1")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: No runner stands in for the image 382416733822.dkr")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TrainingJobName": "under_score"}, "Member must satisfy regular expression pattern"),
        ({"metrics": {"x": "("}}, "The regular expression"),
        ({"InputDataConfig": [channel("a", "s3://b/c"), channel("a", "s3://b/c")]}, "must be unique"),
    ],
)
def test_requests_that_sagemaker_would_refuse(train: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        train(command="true", **changes)


def test_names_are_unique_and_listed(client: Callable[..., Any], train: Any) -> None:
    sagemaker = client("sagemaker")
    job = train(command="true")
    name = job["TrainingJobName"]
    listed = sagemaker.list_training_jobs(NameContains=name, StatusEquals="Completed")
    assert_answer("sagemaker", "ListTrainingJobs", listed)
    assert [item["TrainingJobName"] for item in listed["TrainingJobSummaries"]] == [name]
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="already exists"):
        train(command="true", TrainingJobName=name)
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName="nobody")
    with pytest.raises(ClientError, match="is in status Completed"):
        sagemaker.stop_training_job(TrainingJobName=name)
    sagemaker.delete_training_job(TrainingJobName=name)
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName=name)
