"""What the local AWS holds outlives its process, also when that is killed at any moment."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions
from boto3.s3.transfer import TransferConfig

from localaws import control
from localaws.state_folder import StateFolder
from tests.functional.conftest import OwnAws

ROLE = "arn:aws:iam::123456789012:role/r"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
PASS = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})


def make_everything(aws: OwnAws) -> None:
    s3 = aws.client("s3")
    for bucket in ("plain", "versioned"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        s3.put_object(Bucket="versioned", Key="key", Body=b"%d" % number)
        s3.put_object(Bucket="plain", Key=f"a b/ü-{number}", Body=b"x" * 10**number)
    s3.put_object(Bucket="plain", Key="m", Body=b"m", Metadata={"a_b": "c"}, ContentType="image/png")
    s3.copy_object(Bucket="plain", Key="copy", CopySource="plain/m")
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    s3.upload_fileobj(io.BytesIO(bytes(range(256)) * 40_000), "plain", "large", Config=parts)
    s3.create_multipart_upload(Bucket="plain", Key="unfinished")
    aws.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    aws.client("stepfunctions").create_state_machine(name="m", roleArn=ROLE, definition=PASS)
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", "def handler(event, context): return event")
    aws.client("lambda").create_function(
        FunctionName="f",
        Runtime="python3.11",
        Role=ROLE,
        Handler="handler.handler",
        Code={"ZipFile": code.getvalue()},
    )
    aws.client("sns").create_topic(Name="t")
    aws.client("kms").create_key()
    aws.client("ssm").put_parameter(Name="/a", Value="1", Type="String")
    aws.client("events").put_rule(Name="r", EventPattern='{"source": ["aws.sagemaker"]}')
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    event = {"timestamp": int(time.time() * 1000), "message": "hello"}
    logs.put_log_events(logGroupName="/g", logStreamName="s", logEvents=[event])
    resources = {"Bucket": {"Type": "AWS::S3::Bucket"}, "Queue": {"Type": "AWS::SQS::Queue"}}
    aws.client("cloudformation").create_stack(
        StackName="s", TemplateBody=json.dumps({"Resources": resources})
    )
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    for body in ("first", "second"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    cloudwatch = aws.client("cloudwatch")
    cloudwatch.put_metric_data(Namespace="N", MetricData=[{"MetricName": "m", "Value": 3.0}])
    aws.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/e/variant/v",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=2,
    )
    aws.client("sagemaker").create_model_package_group(ModelPackageGroupName="g")


def seen(aws: OwnAws) -> dict[str, Any]:
    """Everything as its own service tells it."""
    s3, states, kms = aws.client("s3"), aws.client("stepfunctions"), aws.client("kms")
    machine = states.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    calls = {
        "buckets": s3.list_buckets(),
        "objects": s3.list_objects_v2(Bucket="plain"),
        "versions": s3.list_object_versions(Bucket="versioned"),
        "uploads": s3.list_multipart_uploads(Bucket="plain"),
        "head": s3.head_object(Bucket="plain", Key="m"),
        "copy": s3.head_object(Bucket="plain", Key="copy"),
        "role": aws.client("iam").get_role(RoleName="r"),
        "machine": states.describe_state_machine(stateMachineArn=machine),
        "function": aws.client("lambda").get_function(FunctionName="f"),
        "topics": aws.client("sns").list_topics(),
        "key": kms.describe_key(KeyId=kms.list_keys()["Keys"][0]["KeyId"]),
        "parameter": aws.client("ssm").get_parameter(Name="/a"),
        "rules": aws.client("events").list_rules(),
        "log events": aws.client("logs").get_log_events(logGroupName="/g", logStreamName="s"),
        "stack": aws.client("cloudformation").describe_stack_resources(StackName="s"),
        "queue": aws.client("sqs").get_queue_attributes(
            QueueUrl=aws.client("sqs").get_queue_url(QueueName="q")["QueueUrl"], AttributeNames=["All"]
        ),
        "metrics": aws.client("cloudwatch").list_metrics(Namespace="N"),
        "targets": aws.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="sagemaker"
        ),
        "groups": aws.client("sagemaker").list_model_package_groups(),
    }
    for answer in calls.values():
        del answer["ResponseMetadata"]
    calls["bytes"] = {
        item["Key"]: s3.get_object(Bucket="plain", Key=item["Key"])["Body"].read()
        for item in calls["objects"]["Contents"]
    }
    return calls


def test_everything_is_there_again_with_its_ids_and_dates(own_aws):
    make_everything(own_aws)
    before = seen(own_aws)
    for _ in range(2):
        own_aws.restart()
        after = seen(own_aws)
        for name, answer in before.items():
            assert after[name] == answer, name
    control.down(own_aws.state_dir)
    own_aws.start()
    assert seen(own_aws) == before


def test_the_endpoint_url_stays(own_aws):
    url = own_aws.running.endpoint_url
    own_aws.restart()
    assert own_aws.running.endpoint_url == url


def test_a_message_in_flight_can_still_be_deleted(own_aws):
    sqs = own_aws.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    for body in ("first", "second"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    (first,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"]
    own_aws.restart()
    (second,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"]
    assert {first["Body"], second["Body"]} == {"first", "second"}
    for message in (first, second):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    own_aws.restart()
    asked = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"]
    assert set(left.values()) == {"0"}


def test_every_acknowledged_write_is_there_after_a_kill(own_aws):
    """Eight writers write, overwrite and delete until the server is killed under them, three times."""
    own_aws.client("s3").create_bucket(Bucket="bucket")
    acknowledged: dict[str, bytes | None] = {}
    unsure: dict[str, set[bytes | None]] = {}
    for round_number in range(3):
        s3 = own_aws.client("s3", retries={"total_max_attempts": 1}, max_pool_connections=8)
        killed = threading.Event()
        stop = threading.Timer(1.0 + round_number / 3, lambda event=killed: (own_aws.kill(), event.set()))
        stop.start()
        with ThreadPoolExecutor(8) as writers:
            for writer in range(8):
                writers.submit(write, s3, writer, round_number, acknowledged, unsure)
        stop.join()
        assert killed.is_set()
        own_aws.start()
        s3 = own_aws.client("s3")
        assert len(acknowledged) > 20 * (round_number + 1), "the writers got somewhere"
        for key, body in acknowledged.items():
            found = content(s3, key)
            assert found in {body, *unsure.get(key, ())}, f"{key} of round {round_number}"
            acknowledged[key] = found
        unsure.clear()


def write(s3: Any, writer: int, round_number: int, acknowledged: dict, unsure: dict) -> None:
    """Writes until the server is gone; a write that was cut off may be there or not."""
    for number in range(100_000):
        key = f"{writer}/{number % 40}"
        delete = number % 7 == 6
        body = None if delete else os.urandom(4) * (5_000 if number % 5 == 0 else 5)
        unsure.setdefault(key, set()).add(body)
        try:
            if delete:
                s3.delete_object(Bucket="bucket", Key=key)
            else:
                s3.put_object(Bucket="bucket", Key=key, Body=body)
        except (botocore.exceptions.HTTPClientError, botocore.exceptions.ClientError):
            return
        acknowledged[key] = body
        del unsure[key]


def content(s3: Any, key: str) -> bytes | None:
    try:
        return s3.get_object(Bucket="bucket", Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None


def test_a_kill_in_the_middle_of_the_start_is_understood(own_aws):
    s3 = own_aws.client("s3")
    s3.create_bucket(Bucket="bucket")
    for number in range(300):
        s3.put_object(Bucket="bucket", Key=str(number), Body=b"x")
    for wait in (0.05, 0.3, 0.6, 0.9):
        own_aws.kill()
        starting = threading.Thread(target=kill_after, args=(own_aws, wait))
        starting.start()
        try:
            own_aws.start()
        except control.ControlError:
            own_aws.start()
        starting.join()
    own_aws.start()
    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 300


def kill_after(aws: OwnAws, wait: float) -> None:
    time.sleep(wait)
    pid = StateFolder(aws.state_dir).holder()
    if pid:
        os.kill(pid, signal.SIGKILL)
