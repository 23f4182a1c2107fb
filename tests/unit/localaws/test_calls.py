"""Who asked for what: identities, and requests told in IAM's words."""

from __future__ import annotations

import json

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.core.request import Request
from werkzeug.test import EnvironBuilder

from localaws import identities
from localaws.authorization import Place
from localaws.calls import CallLog
from localaws.operations import identify

ROLE = "arn:aws:iam::123456789012:role/scones-operator"
PLACE = Place("us-east-1", "123456789012")


@given(st.from_regex(r"arn:aws:iam::[0-9]{12}:role/[\w+=,.@/-]{1,64}", fullmatch=True))
def test_a_roles_key_says_whose_it_is(arn):
    assert identities.role_of(identities.access_key(arn)) == arn


@given(st.text())
def test_other_keys_are_nobodys(key):
    assert identities.role_of(key) is None
    identities.role_of(f"ASIAROLE{key}")  # whatever it is, it raises nothing


def test_the_owner_has_no_role():
    assert identities.role_of(identities.access_key(None)) is None


def calls(tmp_path, service, method, **arguments):
    """What a real client's request is noted as."""
    log = CallLog(tmp_path / "calls.jsonl", PLACE)
    client = boto3.client(
        service,
        region_name="us-east-1",
        aws_access_key_id=identities.access_key(ROLE),
        aws_secret_access_key="local",
        endpoint_url="http://127.0.0.1:1",
    )

    def hear(request, **_):
        builder = EnvironBuilder(
            path=request.url.removeprefix("http://127.0.0.1:1"),
            method=request.method,
            headers=[(name, _text(value)) for name, value in request.headers.items()],
            data=request.body.encode() if isinstance(request.body, str) else bytes(request.body or b""),
        )
        made = Request(builder.get_environ())
        made.get_data()
        log.hear(made, identify(made))
        raise HeardError

    client.meta.events.register("before-send", hear)
    with pytest.raises(HeardError):
        getattr(client, method)(**arguments)
    lines = [json.loads(line) for line in log._path.read_text().splitlines()]
    assert {line["role"] for line in lines} == {"scones-operator"}
    return {(line["action"], line["resource"], *line["context"].values()) for line in lines}


@pytest.mark.parametrize("points", [1, 200])  # of 10 KiB and more, botocore sends a compressed body
def test_a_namespace_is_noted_however_large_the_metrics(tmp_path, points):
    data = [{"MetricName": f"train:loss-{number:040}", "Value": 1.0} for number in range(points)]
    heard = calls(tmp_path, "cloudwatch", "put_metric_data", Namespace="/aws/jobs", MetricData=data)
    assert heard == {("cloudwatch:PutMetricData", "*", "/aws/jobs")}


class HeardError(Exception):
    pass


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


ARN = "arn:aws:sagemaker:us-east-1:123456789012"
JOB_ROLE = "arn:aws:iam::123456789012:role/scones-pipeline"


@pytest.mark.parametrize(
    ("service", "method", "arguments", "expected"),
    [
        (
            "s3",
            "head_object",
            {"Bucket": "b", "Key": "a/é.png"},
            {("s3:GetObject", "arn:aws:s3:::b/a/é.png")},
        ),
        (
            "s3",
            "list_objects_v2",
            {"Bucket": "b", "Prefix": "a/"},
            {("s3:ListBucket", "arn:aws:s3:::b", "a/")},
        ),
        (
            "s3",
            "copy_object",
            {"Bucket": "b", "Key": "to", "CopySource": "from/key"},
            {("s3:GetObject", "arn:aws:s3:::from/key"), ("s3:PutObject", "arn:aws:s3:::b/to")},
        ),
        (
            "sagemaker",
            "create_pipeline",
            {"PipelineName": "p", "ClientRequestToken": "t" * 32, "RoleArn": JOB_ROLE},
            {
                ("sagemaker:CreatePipeline", f"{ARN}:pipeline/p"),
                ("iam:PassRole", JOB_ROLE, "sagemaker.amazonaws.com"),
            },
        ),
        (
            "sagemaker",
            "create_endpoint",
            {"EndpointName": "E", "EndpointConfigName": "C", "Tags": [{"Key": "k", "Value": "v"}]},
            {
                ("sagemaker:CreateEndpoint", f"{ARN}:endpoint/e"),
                ("sagemaker:CreateEndpoint", f"{ARN}:endpoint-config/c"),
                ("sagemaker:AddTags", f"{ARN}:endpoint/e"),
            },
        ),
        ("sagemaker", "list_endpoints", {}, {("sagemaker:ListEndpoints", "*")}),
        (
            "sagemaker-runtime",
            "invoke_endpoint",
            {"EndpointName": "e", "Body": b""},
            {("sagemaker:InvokeEndpoint", f"{ARN}:endpoint/e")},
        ),
        (
            "lambda",
            "invoke",
            {"FunctionName": "f"},
            {("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:f")},
        ),
        (
            "cloudwatch",
            "delete_alarms",
            {"AlarmNames": ["x", "y"]},
            {
                ("cloudwatch:DeleteAlarms", "arn:aws:cloudwatch:us-east-1:123456789012:alarm:x"),
                ("cloudwatch:DeleteAlarms", "arn:aws:cloudwatch:us-east-1:123456789012:alarm:y"),
            },
        ),
        (
            "cloudwatch",
            "put_metric_data",
            {"Namespace": "n", "MetricData": [{"MetricName": "m"}]},
            {("cloudwatch:PutMetricData", "*", "n")},
        ),
        (
            "logs",
            "create_log_stream",
            {"logGroupName": "/g", "logStreamName": "s"},
            {("logs:CreateLogStream", "arn:aws:logs:us-east-1:123456789012:log-group:/g:log-stream:s")},
        ),
        (
            "sqs",
            "send_message",
            {"QueueUrl": "http://127.0.0.1:1/123456789012/q", "MessageBody": "m"},
            {("sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:q")},
        ),
        ("stepfunctions", "send_task_heartbeat", {"taskToken": "t"}, {("states:SendTaskHeartbeat", "*")}),
        (
            "cloudformation",
            "describe_stacks",
            {"StackName": "s"},
            {("cloudformation:DescribeStacks", "arn:aws:cloudformation:us-east-1:123456789012:stack/s/id")},
        ),
        (
            "sns",
            "publish",
            {"TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Message": "m"},
            {("sns:Publish", "arn:aws:sns:us-east-1:123456789012:t")},
        ),
        ("ec2", "describe_vpcs", {}, {("ec2:DescribeVpcs", "*")}),
    ],
)
def test_a_clients_request_is_noted_in_iams_words(tmp_path, service, method, arguments, expected):
    assert calls(tmp_path, service, method, **arguments) == expected
