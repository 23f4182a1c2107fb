"""Every error that a handler can raise, through the definition, to the end state that the document names.

The handlers are stubs that raise what the event asks for: what leads there is tested with the real ones.
"""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.waiting import wait_for
from workflows import package

ROLE = "arn:aws:iam::123456789012:role/scones-stub"
FUNCTIONS = ("Serializer", "Classifier", "ConfidenceFilter")
STUB = """
def lambda_handler(event, context):
    where, _, error = event["body"]["s3_key"].partition(":")
    if where == "{name}":
        raise type(error, (Exception,), {{}})("as said")
    return {{"statusCode": 200, "body": {{**event["body"], "inferences": [0.5, 0.5]}}}}
"""
ENDS = {
    "Serializer": {
        "InvalidEventError": "InvalidEvent",
        "KeyNotAllowedError": "InvalidEvent",
        "ObjectNotFoundError": "ImageNotFound",
        "ObjectAccessError": "ImageNotFound",
        "NotAnImageError": "ImageRefused",
        "ObjectTooLargeError": "ImageRefused",
        "ServiceUnavailableError": "ServiceUnavailable",
        "ConfigurationError": None,
    },
    "Classifier": {
        "InvalidEventError": "InvalidEvent",
        "ObjectNotFoundError": "ImageNotFound",
        "ObjectAccessError": "ImageNotFound",
        "NotAnImageError": "ImageRefused",
        "ObjectTooLargeError": "ImageRefused",
        "EndpointNotFoundError": "EndpointNotFound",
        "ServiceUnavailableError": "ServiceUnavailable",
        "ConfigurationError": None,
        "EndpointError": None,
        "InvalidPredictionError": None,
    },
    "ConfidenceFilter": {
        "ThresholdNotMet": "ThresholdNotMet",
        "InvalidEventError": "InvalidEvent",
        "ConfigurationError": None,
    },
}


@pytest.fixture(scope="module")
def state_machine(client: Callable[..., Any]) -> str:
    values = {"Review": "off", "ReviewTimeoutSeconds": "60", "ReviewHeartbeatSeconds": "30"}
    values |= {"ReviewQueueUrl": "https://queue.invalid/none"}
    client("iam").create_role(RoleName="scones-stub", AssumeRolePolicyDocument="{}")
    for name in FUNCTIONS:
        values[f"{name}FunctionArn"] = stub(client("lambda"), name)
    text = re.sub(r"\$\{(\w+)\}", lambda match: values[match.group(1)], package.text("inference.asl.json"))
    definition = json.loads(text)
    for state in definition["States"].values():
        for retry in state.get("Retry", []):
            retry["MaxAttempts"] = 0  # what comes after the last attempt is the subject
    return machine(client, definition)


def stub(functions: Any, name: str) -> str:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package_file:
        package_file.writestr("handler.py", STUB.format(name=name))
    return str(
        functions.create_function(
            FunctionName=f"stub-{name}",
            Runtime="python3.13",
            Role=ROLE,
            Handler="handler.lambda_handler",
            Code={"ZipFile": archive.getvalue()},
        )["FunctionArn"]
    )


def machine(client: Callable[..., Any], definition: dict[str, Any]) -> str:
    created = client("stepfunctions").create_state_machine(
        name=f"stubs-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE
    )
    return str(created["stateMachineArn"])


def ended(step_functions: Any, arn: str) -> dict[str, Any]:
    return wait_for(
        lambda: dict(step_functions.describe_execution(executionArn=arn)),
        "the end",
        60,
        until=lambda found: found["status"] != "RUNNING",
    )


@pytest.mark.parametrize(
    ("where", "error", "end"),
    [(where, error, end) for where, errors in ENDS.items() for error, end in errors.items()],
)
def test_each_named_error_has_the_end_that_is_documented(
    client: Callable[..., Any], state_machine: str, where: str, error: str, end: str | None
) -> None:
    step_functions = client("stepfunctions")
    event = {"image_data": "", "s3_bucket": "b", "s3_key": f"{where}:{error}"}
    arn = step_functions.start_execution(
        stateMachineArn=state_machine, name=uuid.uuid4().hex, input=json.dumps(event)
    )["executionArn"]
    found = ended(step_functions, arn)
    assert (found["status"], found["error"]) == ("FAILED", error)
    events = step_functions.get_execution_history(executionArn=arn)["events"]
    entered = [
        each["stateEnteredEventDetails"]["name"] for each in events if each["type"] == "FailStateEntered"
    ]
    assert entered == ([end] if end else [])


def test_no_named_error_is_left_out() -> None:
    """The document's table and the handlers' own classes, against what is tried above."""
    root = Path(package.__file__).parents[1]
    tried = {error for errors in ENDS.values() for error in errors}
    classes: set[tuple[str, str]] = set()
    for folder in ("serializer", "classifier", "confidence_filter"):
        text = (root / "lambdas" / folder / "handler.py").read_text()
        classes |= set(re.findall(r"^class (\w+)\((\w*(?:Exception|Error))\)", text, re.MULTILINE))
    assert {name for name, base in classes if base != "Exception"} == tried
    document = (root / "docs" / "architecture.md").read_text()
    assert [error for error in sorted(tried) if f"`{error}`" not in document] == []


def test_an_execution_is_started_once_a_name(client: Callable[..., Any], state_machine: str) -> None:
    step_functions = client("stepfunctions")
    waiting = machine(
        client, {"StartAt": "Pause", "States": {"Pause": {"Type": "Wait", "Seconds": 3, "End": True}}}
    )
    first = step_functions.start_execution(stateMachineArn=waiting, name="once", input='{"n": 1}')
    again = step_functions.start_execution(stateMachineArn=waiting, name="once", input='{"n": 1}')
    assert again["executionArn"] == first["executionArn"]
    for _ in range(2):  # while it runs, and when it has ended
        with pytest.raises(ClientError) as refused:
            step_functions.start_execution(stateMachineArn=waiting, name="once", input='{"n": 2}')
        assert refused.value.response["Error"]["Code"] == "ExecutionAlreadyExists"
        assert ended(step_functions, first["executionArn"])["input"] == '{"n": 1}'
    assert len(step_functions.list_executions(stateMachineArn=waiting)["executions"]) == 1
