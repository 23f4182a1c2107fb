"""The gateway as HTTP: connections, bodies, routing, and answers when nobody can answer."""

from __future__ import annotations

import datetime
import http.client
import json
import threading
import urllib.request
import uuid

import botocore.exceptions
import pytest


@pytest.fixture
def connection(local_aws):
    made = http.client.HTTPConnection("127.0.0.1", local_aws.port, timeout=20)
    yield made
    made.close()


@pytest.fixture(scope="module")
def bucket(client):
    name = f"gateway-{uuid.uuid4().hex[:12]}"
    client("s3").create_bucket(Bucket=name)
    return name


def scope(service: str) -> dict[str, str]:
    credential = f"AKID/20260101/us-east-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}


def test_health_and_loopback_only(local_aws):
    with urllib.request.urlopen(f"{local_aws.endpoint_url}/_scones/health") as response:
        assert json.load(response) == {"status": "ok"}
    with open("/proc/net/tcp") as table:
        ours = [line.split()[1] for line in table if f":{local_aws.port:04X}" in line.split()[1]]
    assert {address.split(":")[0] for address in ours} == {"0100007F"}, "127.0.0.1, byte-reversed"


def test_a_connection_serves_many_requests(connection, bucket):
    for number in range(5):
        connection.request("PUT", f"/{bucket}/kept-{number}", b"x" * number, scope("s3"))
        assert connection.getresponse().read() == b""
        sock = connection.sock
        assert sock is not None, "the server closed the connection"
        connection.request("GET", f"/{bucket}/kept-{number}", headers=scope("s3"))
        assert connection.getresponse().read() == b"x" * number
        assert connection.sock is sock


def test_a_chunked_body_arrives_whole(connection, bucket):
    chunks = (b"x" * 10_000 for _ in range(7))
    connection.request("PUT", f"/{bucket}/chunked", chunks, scope("s3"), encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    connection.request("HEAD", f"/{bucket}/chunked", headers=scope("s3"))
    assert connection.getresponse().headers["Content-Length"] == "70000"


def test_a_client_that_waits_for_100_continue_gets_one(connection, bucket):
    connection.putrequest("PUT", f"/{bucket}/waited")
    for name, value in {**scope("s3"), "Content-Length": "3", "Expect": "100-continue"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.sock.recv(64) == b"HTTP/1.1 100 Continue\r\n\r\n", "one, and nothing else yet"
    connection.send(b"abc")
    assert connection.getresponse().status == 200


def test_a_body_that_is_cut_off_changes_nothing(local_aws, client, bucket):
    cut = http.client.HTTPConnection("127.0.0.1", local_aws.port)
    cut.putrequest("PUT", f"/{bucket}/cut")
    for name, value in {**scope("s3"), "Content-Length": "100"}.items():
        cut.putheader(name, value)
    cut.endheaders(b"only this")
    cut.close()
    keys = [item["Key"] for item in client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]
    assert "cut" not in keys


def test_many_slow_callers_do_not_keep_out_a_quick_one(client, local_aws):
    sqs = client("sqs", max_pool_connections=40)
    url = sqs.create_queue(QueueName=f"slow-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    waiting = [
        threading.Thread(target=sqs.receive_message, kwargs={"QueueUrl": url, "WaitTimeSeconds": 20})
        for _ in range(40)
    ]
    for thread in waiting:
        thread.start()
    try:
        with urllib.request.urlopen(f"{local_aws.endpoint_url}/_scones/health", timeout=5) as response:
            assert response.status == 200
    finally:
        for _ in waiting:
            sqs.send_message(QueueUrl=url, MessageBody="go")
        for thread in waiting:
            thread.join()


MISSING = [
    ("sqs", "list_message_move_tasks", {"SourceArn": "arn:aws:sqs:us-east-1:123456789012:q"}),
    ("iam", "generate_service_last_accessed_details", {"Arn": "arn:aws:iam::123456789012:role/r"}),
    ("lambda", "get_account_settings", {}),
    ("s3", "list_bucket_intelligent_tiering_configurations", {"Bucket": "b"}),
    ("ec2", "describe_fleet_history", {"FleetId": "f", "StartTime": 0}),
    ("chime", "list_accounts", {}),
]


@pytest.mark.parametrize(("service", "operation", "arguments"), MISSING)
def test_an_operation_that_is_not_there_is_named(client, service, operation, arguments):
    made = client(service, retries={"total_max_attempts": 1})
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        getattr(made, operation)(**arguments)
    error = caught.value.response["Error"]
    assert error["Code"] in ("UnknownOperationException", "InvalidAction", "NotImplemented")
    assert error["Message"].startswith("The local AWS does not have ")
    assert operation.replace("_", "") in error["Message"].lower()


def test_sagemaker_is_our_own_and_refuses_what_it_does_not_know(client):
    assert client("sagemaker").list_pipelines(PipelineNamePrefix="nobodys")["PipelineSummaries"] == []
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client("sagemaker").list_workteams()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"


def test_a_bad_json_body_is_the_clients_fault(connection):
    headers = {**scope("sagemaker"), "X-Amz-Target": "SageMaker.ListPipelines"}
    connection.request("POST", "/", b"{no json", headers)
    assert connection.getresponse().status == 400


def test_metrics_and_logs(client):
    cloudwatch, logs = client("cloudwatch"), client("logs")
    namespace = f"N{uuid.uuid4().hex[:8]}"
    dimensions = [{"Name": "EndpointName", "Value": "e"}]
    point = {"MetricName": "m", "Dimensions": dimensions}
    cloudwatch.put_metric_data(
        Namespace=namespace,
        MetricData=[{**point, "Value": 3.0}, {**point, "Values": [1.0, 2.0], "Counts": [1, 2]}],
    )
    now = datetime.datetime.now(datetime.UTC)
    window = {"StartTime": now - datetime.timedelta(hours=1), "EndTime": now + datetime.timedelta(hours=1)}
    metric = {"Namespace": namespace, "MetricName": "m", "Dimensions": dimensions}
    queries = [{"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}]
    (result,) = cloudwatch.get_metric_data(MetricDataQueries=queries, **window)["MetricDataResults"]
    assert sum(result["Values"]) == 8.0
    group = f"/aws/{namespace}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s/1")
    start = int(now.timestamp() * 1000)
    events = [{"timestamp": start + number, "message": f"m{number}"} for number in range(30)]
    logs.put_log_events(logGroupName=group, logStreamName="s/1", logEvents=events)
    page = logs.get_log_events(logGroupName=group, logStreamName="s/1", startFromHead=True, limit=10)
    assert [event["message"] for event in page["events"]] == [f"m{number}" for number in range(10)]


def test_a_long_poll_ends_with_the_message(client):
    sqs = client("sqs")
    url = sqs.create_queue(
        QueueName=f"poll-{uuid.uuid4().hex[:8]}", Attributes={"ReceiveMessageWaitTimeSeconds": "20"}
    )["QueueUrl"]
    got = []
    poll = threading.Thread(target=lambda: got.extend(sqs.receive_message(QueueUrl=url).get("Messages", [])))
    poll.start()
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    poll.join(10)
    assert [message["Body"] for message in got] == ["hello"]


def test_a_web_page_of_another_site_is_refused(connection, client, bucket):
    page = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    connection.request("PUT", f"/{bucket}/by-page", b"x", page)
    response = connection.getresponse()
    assert (response.status, b"web pages" in response.read()) == (403, True)
    assert "Access-Control-Allow-Origin" not in response.headers
    assert not client("s3").list_objects_v2(Bucket=bucket, Prefix="by-page")["KeyCount"]
