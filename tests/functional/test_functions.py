"""Lambda on the local AWS: functions are created, updated and invoked over HTTP by boto3."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import time
import uuid
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from localaws import control
from tests.waiting import wait_for

HANDLER = """
import json, os, sys, time
import boto3
MADE = time.time()
calls = 0

class ImageIsUpsideDown(Exception):
    pass

def lambda_handler(event, context):
    global calls
    calls += 1
    what = event.get("do")
    if what == "raise":
        raise ImageIsUpsideDown("turn it")
    if what == "exit":
        os._exit(3)
    if what == "sleep":
        time.sleep(event["seconds"])
    if what == "eat":
        kept = bytearray(event["bytes"])
        kept[::4096] = b"x" * len(kept[::4096])
    if what == "print":
        print(event["text"])
        print("to stderr", file=sys.stderr)
    if what == "answer":
        return "x" * event["bytes"]
    if what == "environment":
        return dict(os.environ)
    if what == "import":
        __import__(event["module"])
    if what == "buckets":
        return [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]
    if what == "context":
        return {
            "arn": context.invoked_function_arn,
            "memory": context.memory_limit_in_mb,
            "remaining": context.get_remaining_time_in_millis(),
            "client": context.client_context.custom if context.client_context else None,
        }
    return {"event": event, "pid": os.getpid(), "calls": calls, "request_id": context.aws_request_id}
"""


def package(source: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("handler.py", source)
    return archive.getvalue()


@dataclass
class Deployed:
    """A function of one test's own."""

    client: Any
    name: str

    def __call__(self, event: Any = None, **options: Any) -> Any:
        answer = self.raw({} if event is None else event, **options)
        assert "FunctionError" not in answer, answer
        return answer["Json"]

    def raw(self, event: Any, **options: Any) -> dict[str, Any]:
        answer = self.client.invoke(FunctionName=self.name, Payload=json.dumps(event), **options)
        text = answer["Payload"].read()
        return {**answer, "Json": json.loads(text) if text else None}

    def update(self, source: str) -> None:
        self.client.update_function_code(FunctionName=self.name, ZipFile=package(source))


Deploy = Callable[..., Deployed]


@pytest.fixture(scope="module")
def role(client: Callable[..., Any]) -> str:
    name = f"functions-{uuid.uuid4().hex[:8]}"
    return client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]


@pytest.fixture(scope="module")
def deploy(client: Callable[..., Any], role: str) -> Deploy:
    # A client of this module's own: function errors are no reason to try again, timeouts are tested.
    functions = client("lambda", retries={"total_max_attempts": 1}, max_pool_connections=32)

    def make(source: str = HANDLER, **settings: Any) -> Deployed:
        name = f"function-{uuid.uuid4().hex[:8]}"
        defaults = {"Runtime": "python3.13", "Handler": "handler.lambda_handler", "MemorySize": 256}
        functions.create_function(
            FunctionName=name, Role=role, Code={"ZipFile": package(source)}, **defaults | settings
        )
        return Deployed(functions, name)

    return make


@pytest.fixture(scope="module")
def function(deploy: Deploy) -> Deployed:
    return deploy(Environment={"Variables": {"COLOUR": "green"}})


def log_messages(client: Callable[..., Any], name: str) -> list[str]:
    logs = client("logs")
    try:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in events]


def test_an_event_goes_in_and_the_answer_comes_out(function: Deployed) -> None:
    answer = function.raw({"a": "ä"})
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["Json"]["event"] == {"a": "ä"}
    assert answer["Json"]["request_id"] == answer["ResponseMetadata"]["RequestId"]


def test_a_warm_worker_is_used_again(deploy: Deploy) -> None:
    function = deploy()
    first, second = function(), function()
    assert (first["calls"], second["calls"]) == (1, 2)
    assert first["pid"] == second["pid"]


def test_what_a_handler_raises_has_lambdas_shape(function: Deployed) -> None:
    answer = function.raw({"do": "raise"})
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    error = answer["Json"]
    assert set(error) == {"errorMessage", "errorType", "requestId", "stackTrace"}
    assert (error["errorType"], error["errorMessage"]) == ("ImageIsUpsideDown", "turn it")
    assert error["requestId"] == answer["ResponseMetadata"]["RequestId"]
    assert "in lambda_handler" in error["stackTrace"][-1]
    assert function()["calls"] > 1, "the worker lives on"


def test_a_timeout_ends_the_worker(deploy: Deploy) -> None:
    function = deploy(Timeout=1)
    before = function()["pid"]
    start = time.monotonic()
    answer = function.raw({"do": "sleep", "seconds": 30})
    assert time.monotonic() - start < 5
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Json"] == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after 1.00 seconds",
    }
    wait_for(lambda: not is_alive(before), "the end of before")
    assert function()["calls"] == 1


def test_a_worker_over_its_memory_is_killed(deploy: Deploy) -> None:
    function = deploy(MemorySize=128)
    assert function({"do": "eat", "bytes": 10_000_000})["calls"] == 1
    answer = function.raw({"do": "eat", "bytes": 150_000_000}, LogType="Tail")
    assert answer["Json"]["errorType"] == "Runtime.OutOfMemory"
    assert "signal: killed" in answer["Json"]["errorMessage"]
    assert "Error Type: Runtime.OutOfMemory" in tail(answer)
    assert function()["calls"] == 1


def test_a_worker_that_exits_says_how(function: Deployed) -> None:
    answer = function.raw({"do": "exit"})
    assert answer["Json"]["errorType"] == "Runtime.ExitError"
    assert answer["Json"]["errorMessage"].endswith("Runtime exited with error: exit status 3")
    assert function()["calls"] == 1


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("import nothing_like_this", "Runtime.ImportModuleError", "No module named 'nothing_like_this'"),
        ("def lambda_handler(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'handler'"),
        ("x = 1", "Runtime.HandlerNotFound", "Handler 'lambda_handler' missing on module 'handler'"),
        ("raise ValueError('at import')", "ValueError", "at import"),
        ("import os; os._exit(9)", "Runtime.ExitError", "exit status 9"),
    ],
)
def test_a_function_that_cannot_start_says_why(deploy: Deploy, source: str, error: str, message: str) -> None:
    function = deploy(source)
    answer = function.raw({}, LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Json"]["errorType"] == error
    assert message in answer["Json"]["errorMessage"]
    function.update("def lambda_handler(event, context): return 'mended'")
    assert function() == "mended"


def test_an_answer_over_six_megabytes_is_an_error(function: Deployed) -> None:
    assert len(function({"do": "answer", "bytes": 6_000_000})) == 6_000_000
    answer = function.raw({"do": "answer", "bytes": 6_300_000})
    assert answer["Json"]["errorType"] == "Function.ResponseSizeTooLarge"
    assert function()["calls"] == 1


def test_events_at_the_same_time_have_a_worker_each(deploy: Deploy) -> None:
    function = deploy()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(function, [{"do": "sleep", "seconds": 1.5}] * 4))
    assert len({answer["pid"] for answer in answers}) == 4


def test_reserved_concurrency_throttles(deploy: Deploy) -> None:
    function = deploy(Timeout=10)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    function()
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(function, {"do": "sleep", "seconds": 2})
        time.sleep(0.5)
        with pytest.raises(function.client.exceptions.TooManyRequestsException, match="Rate Exceeded"):
            function()
        slow.result()
    function()


def test_new_code_and_new_settings_take_a_new_worker(deploy: Deploy) -> None:
    function = deploy()
    old = function()["pid"]
    function.client.update_function_configuration(
        FunctionName=function.name, Environment={"Variables": {"COLOUR": "blue"}}
    )
    assert function({"do": "environment"})["COLOUR"] == "blue"
    function.update("def lambda_handler(event, context): return 'second version'")
    assert function() == "second version"
    wait_for(lambda: not is_alive(old), "the end of old")


def test_versions_and_aliases_are_told_apart(deploy: Deploy) -> None:
    function = deploy("def lambda_handler(event, context): return context.function_version")
    functions = function.client
    functions.publish_version(FunctionName=function.name)
    functions.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
    function.update("def lambda_handler(event, context): return 'newer ' + context.function_version")
    assert function() == "newer $LATEST"
    answer = function.raw({}, Qualifier="live")
    assert (answer["Json"], answer["ExecutedVersion"]) == ("1", "1")
    arn = functions.get_function_configuration(FunctionName=function.name)["FunctionArn"]
    for name in (arn, f"{arn}:live", f"{function.name}:1", f"123456789012:function:{function.name}"):
        assert Deployed(functions, name)().endswith(("1", "$LATEST"))


def test_the_environment_is_lambdas_and_not_the_servers(function: Deployed, endpoint_url: str) -> None:
    environment = function({"do": "environment"})
    assert environment["COLOUR"] == "green"
    assert environment["AWS_ENDPOINT_URL"] == endpoint_url
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == function.name
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["_HANDLER"] == "handler.lambda_handler"
    known = re.compile(
        r"(AWS_|LAMBDA_|_HANDLER|_X_AMZN_|PATH|LANG|LC_CTYPE|TZ|PYTHONPATH|COLOUR|SCONES_STACK)"
    )
    assert [name for name in environment if not known.match(name)] == []
    assert not {"MOTO_PORT", "HOME", "VIRTUAL_ENV"} & set(environment)


def test_boto3_in_a_function_talks_to_this_stack(function: Deployed, client: Callable[..., Any]) -> None:
    client("s3").create_bucket(Bucket="seen-by-a-function")
    assert "seen-by-a-function" in function({"do": "buckets"})


@pytest.mark.parametrize("module", ["numpy", "torch", "workflows", "localaws", "moto"])
def test_what_lambda_does_not_bring_cannot_be_imported(function: Deployed, module: str) -> None:
    answer = function.raw({"do": "import", "module": module})
    assert answer["Json"]["errorType"] == "ModuleNotFoundError"


def test_the_context_says_who_and_how_long(function: Deployed) -> None:
    custom = base64.b64encode(json.dumps({"custom": {"from": "a phone"}}).encode()).decode()
    context = function({"do": "context"}, ClientContext=custom)
    assert context["arn"].endswith(f":function:{function.name}")
    assert int(context["memory"]) == 256
    assert 0 < context["remaining"] <= 3000
    assert context["client"] == {"from": "a phone"}


def test_the_tail_of_the_log_comes_along(function: Deployed) -> None:
    answer = function.raw({"do": "print", "text": "a line of its own"}, LogType="Tail")
    lines = tail(answer).splitlines()
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
    assert lines[1:3] == ["a line of its own", "to stderr"]
    assert lines[3] == f"END RequestId: {request_id}"
    report = r"REPORT RequestId: \S+\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB\tMax "
    assert re.match(report, lines[4])
    many = function.raw({"do": "print", "text": "x" * 10_000}, LogType="Tail")
    assert len(tail(many)) == 4096


def test_the_log_is_in_cloudwatch(deploy: Deploy, client: Callable[..., Any]) -> None:
    function = deploy()
    function({"do": "print", "text": "for CloudWatch"})
    function.raw({"do": "raise"})
    messages = wait_for(
        lambda: found if len(found := log_messages(client, function.name)) >= 9 else None, "nine messages"
    )
    assert "for CloudWatch\n" in messages
    assert sum(message.startswith("REPORT") for message in messages) == 2
    (trace,) = [message for message in messages if message.startswith("[ERROR] ImageIsUpsideDown: turn it")]
    assert "Traceback (most recent call last):" in trace
    (stream,) = client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{function.name}")["logStreams"]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream["logStreamName"])


def test_an_asynchronous_event_is_run_later(deploy: Deploy, client: Callable[..., Any]) -> None:
    function = deploy()
    answer = function.raw({"do": "print", "text": "in its own time"}, InvocationType="Event")
    assert (answer["StatusCode"], answer["Json"]) == (202, None)
    wait_for(lambda: "in its own time\n" in log_messages(client, function.name), "the message")


def test_an_event_that_fails_each_time_is_told(deploy: Deploy, client: Callable[..., Any]) -> None:
    function, sqs = deploy(), client("sqs")
    queue = sqs.create_queue(QueueName=f"{function.name}-failed")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client("lambda").put_function_event_invoke_config(
        FunctionName=function.name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    function.raw({"do": "raise"}, InvocationType="Event")
    (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    told = json.loads(message["Body"])
    assert told["requestPayload"] == {"do": "raise"}
    assert told["requestContext"]["condition"] == "RetriesExhausted"
    assert told["requestContext"]["approximateInvokeCount"] == 1
    assert told["responsePayload"]["errorType"] == "ImageIsUpsideDown"


def test_a_dry_run_runs_nothing(deploy: Deploy) -> None:
    function = deploy()
    assert function.raw({}, InvocationType="DryRun")["StatusCode"] == 204
    assert function()["calls"] == 1


def test_errors_of_the_request_have_lambdas_names(function: Deployed) -> None:
    functions = function.client
    with pytest.raises(functions.exceptions.ResourceNotFoundException, match=r"Function not found: arn:aws:"):
        functions.invoke(FunctionName="no-such-function")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.invoke(FunctionName=function.name, Qualifier="77")
    with pytest.raises(functions.exceptions.InvalidRequestContentException, match="Could not parse"):
        functions.invoke(FunctionName=function.name, Payload="{not json")
    with pytest.raises(functions.exceptions.RequestTooLargeException):
        functions.invoke(FunctionName=function.name, Payload=json.dumps("x" * 6_400_000))
    with pytest.raises(functions.exceptions.InvalidParameterValueException):
        functions.invoke(FunctionName=function.name, InvocationType="Sometime")


def test_what_cannot_run_here_says_so(deploy: Deploy) -> None:
    function = deploy(Runtime="nodejs22.x")
    with pytest.raises(function.client.exceptions.InvalidRuntimeException, match="Python 3 only"):
        function()


def test_a_package_that_is_no_zip_says_so(deploy: Deploy) -> None:
    function = deploy()
    function.client.update_function_code(FunctionName=function.name, ZipFile=b"no zip at all")
    with pytest.raises(function.client.exceptions.InvalidZipFileException, match="cannot be unpacked"):
        function()


def test_an_event_without_a_payload_is_an_empty_object(function: Deployed) -> None:
    answer = function.client.invoke(FunctionName=function.name)
    assert json.loads(answer["Payload"].read())["event"] == {}


def test_a_worker_that_is_killed_between_events_is_replaced(deploy: Deploy) -> None:
    function = deploy()
    pid = function()["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), "the end of pid")
    assert function()["calls"] == 1


def tail(answer: dict[str, Any]) -> str:
    return base64.b64decode(answer["LogResult"]).decode()


def is_alive(pid: int) -> bool:
    """False once all of its threads have ended, waited for or not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            ended = stat.read().rpartition(")")[2].split()[0] == "Z"
        return not (ended and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1)
    except FileNotFoundError:
        return False


def test_no_worker_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    running = control.up(tmp_path)
    try:
        made = make_client(running.endpoint_url, "iam").create_role(
            RoleName="functions", AssumeRolePolicyDocument="{}"
        )
        functions = make_client(running.endpoint_url, "lambda")
        functions.create_function(
            FunctionName="outlives",
            Role=made["Role"]["Arn"],
            Runtime="python3.13",
            Handler="handler.lambda_handler",
            Code={"ZipFile": package(HANDLER)},
        )
        pid = Deployed(functions, "outlives")()["pid"]
        assert is_alive(pid)
        os.kill(running.pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), "the end of pid")
    finally:
        control.down(tmp_path)


def make_client(endpoint_url: str, service: str) -> Any:
    session = boto3.Session("local", "local", region_name="us-east-1")
    return session.client(service, endpoint_url=endpoint_url)
