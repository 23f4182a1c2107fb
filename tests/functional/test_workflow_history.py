"""What executions did, read over HTTP from the local AWS: as steps, as a table, and on the drawing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import Result
from typer.testing import CliRunner

from pipeline import runs
from pipeline.cli import app
from tests.functional.endpoints import serving
from tests.functional.test_workflow import BRIGHTNESS, CLASSES, picture
from tests.functional.workflows import workflow_plan
from tests.waiting import wait_for
from workflows import execution, run
from workflows.deploy import deploy
from workflows.execution import Execution
from workflows.graph import asl
from workflows.graph.model import Drawing
from workflows.graph.svg import svg

SVG = "{http://www.w3.org/2000/svg}"
NAME = "history-test"
ACCOUNT = "123456789012"


def statuses(drawn: str) -> dict[str, str]:
    """The status of each node of a drawing."""
    groups = ElementTree.fromstring(drawn).iter(f"{SVG}g")
    return {g.get("data-id", ""): g.get("data-status", "") for g in groups if g.get("class") == "node"}


def drawn(found: Execution) -> dict[str, str]:
    return statuses(svg(Drawing("", "", asl.graph(found.definition, found.steps), execution=True)))


def told(found: Execution) -> list[tuple[Any, ...]]:
    return [(step.name, step.status, step.retries, step.error) for step in found.steps]


def scones(*arguments: str) -> Result:
    names = {"SCONES_ENDPOINT_NAME_PREFIX": NAME, "SCONES_BUCKET": NAME, "SCONES_PIPELINE_NAME": NAME}
    return CliRunner().invoke(app, arguments, env=names)


@pytest.fixture(scope="module")
def workflow(client: Callable[..., Any]) -> Iterator[str]:
    """The state machine of the inference workflow, with review."""
    with serving(client, NAME, "brightness", BRIGHTNESS) as endpoint_name:
        yield deploy(client, workflow_plan(endpoint_name, bucket=NAME, name_prefix=NAME)).state_machine_arn


def classified(client: Callable[..., Any], workflow: str, name: str, body: bytes | None) -> Execution:
    key = f"scones/inference/{name}.png"
    if body:
        client("s3").put_object(Bucket=NAME, Key=key, Body=body)
    started = run.start(client, workflow, NAME, [key])
    run.wait(client, started, CLASSES, timeout=60)
    return execution.read(client("stepfunctions"), started[0].execution_arn)


def test_an_execution_that_succeeds(client: Callable[..., Any], workflow: str) -> None:
    found = classified(client, workflow, "bright", picture(250))
    assert told(found) == [
        ("SerializeImage", "Succeeded", 0, None),
        ("ClassifyImage", "Succeeded", 0, None),
        ("FilterByConfidence", "Succeeded", 0, None),
        ("ImageClassified", "Succeeded", 0, None),
    ]
    assert all(found.started <= step.entered <= step.ended <= found.stopped for step in found.steps)
    shown = drawn(found)
    assert {name for name, status in shown.items() if status == "succeeded"} == {
        "#start",
        *(step.name for step in found.steps),
    }
    assert shown["ImageRefused"] == shown["WaitForReview"] == "not reached"


def test_one_that_ends_under_the_threshold(client: Callable[..., Any], workflow: str) -> None:
    found = classified(client, workflow, "grey", picture(102))
    assert told(found)[2:] == [
        ("FilterByConfidence", "Caught", 0, "ThresholdNotMet"),
        ("ReadReviewSetting", "Succeeded", 0, None),
        ("IsReviewed", "Succeeded", 0, None),
        ("ThresholdNotMet", "Failed", 0, "ThresholdNotMet"),
    ]
    shown = drawn(found)
    assert shown["FilterByConfidence"] == "error caught"
    assert shown["ThresholdNotMet"] == "failed"
    graph = asl.graph(found.definition, found.steps)
    taken = {(edge.source, edge.target) for edge in graph.edges if edge.taken}
    assert ("FilterByConfidence", "ReadReviewSetting") in taken
    assert ("FilterByConfidence", "ImageClassified") not in taken


def test_one_with_a_retry(client: Callable[..., Any], workflow: str) -> None:
    found = classified(client, workflow, "patient", picture(255, size=3))
    step = found.steps[1]
    assert (step.name, step.status, step.error) == ("ClassifyImage", "Succeeded", "ServiceUnavailableError")
    assert step.retries >= 1
    assert drawn(found)["ClassifyImage"] == "succeeded"


def test_the_command_tells_the_newest_and_a_named_one(
    client: Callable[..., Any], workflow: str, tmp_path: Path
) -> None:
    missing = classified(client, workflow, "missing", None)
    for named in ([], [missing.name], [missing.execution_arn]):
        rows = [line.split("\t") for line in scones("workflow", "history", *named).stdout.splitlines()]
        assert [row[:3] for row in rows] == [
            ["SerializeImage", "Task", "Caught"],
            ["ImageNotFound", "Fail", "Failed"],
        ]
        assert rows[0][6].startswith("ObjectNotFoundError: ")
        assert "{" not in rows[0][6]
    answer = json.loads(scones("workflow", "history", "--json").stdout)
    assert (answer["name"], answer["status"]) == (missing.name, "FAILED")
    assert [step["state"] for step in answer["steps"]] == ["SerializeImage", "ImageNotFound"]
    out = tmp_path / "run.svg"
    assert scones("workflow", "graph", "newest", "--out", str(out)).stdout == f"{out}\n"
    assert statuses(out.read_text())["ImageNotFound"] == "failed"
    assert [path.name for path in tmp_path.iterdir()] == ["run.svg"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["workflow", "history", "nobody"], "there is no execution nobody"),
        (
            ["workflow", "graph", f"arn:aws:states:us-east-1:{ACCOUNT}:execution:a:b"],
            "there is no execution b",
        ),
    ],
)
def test_an_execution_that_is_not_there(workflow: str, arguments: list[str], said: str) -> None:
    result = scones(*arguments)
    assert isinstance(result.exception, execution.NoExecutionError)
    assert str(result.exception).startswith(said)


def machine(client: Callable[..., Any], name: str, definition: dict[str, Any]) -> str:
    """Starts an execution of a machine and returns its ARN."""
    step_functions = client("stepfunctions")
    arn = step_functions.create_state_machine(
        name=f"{NAME}-{name}", definition=json.dumps(definition), roleArn=f"arn:aws:iam::{ACCOUNT}:role/any"
    )["stateMachineArn"]
    return str(step_functions.start_execution(stateMachineArn=arn, name="one")["executionArn"])


def until(client: Callable[..., Any], arn: str, done: Callable[[Execution], bool]) -> Execution:
    return wait_for(lambda: execution.read(client("stepfunctions"), arn), "the state", 60, until=done)


def test_one_that_waits_for_a_token_and_is_stopped(client: Callable[..., Any]) -> None:
    queue = client("sqs").create_queue(QueueName=NAME)["QueueUrl"]
    ask = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": queue, "MessageBody": {"token.$": "$$.Task.Token"}},
        "End": True,
    }
    arn = machine(client, "ask", {"StartAt": "Ask", "States": {"Ask": ask}})
    found = until(client, arn, lambda found: any(step.status == "Waiting" for step in found.steps))
    assert (found.status, found.steps[0].ended) == ("RUNNING", None)
    assert drawn(found)["Ask"] == "waiting"
    client("stepfunctions").stop_execution(executionArn=arn, error="Enough")
    found = until(client, arn, lambda found: found.status != "RUNNING")
    assert (found.status, found.steps[0].status) == ("ABORTED", "Aborted")
    assert found.steps[0].ended is not None


def test_branches_and_iterations(client: Callable[..., Any]) -> None:
    def fails(name: str) -> dict[str, Any]:
        # Not at once: a branch that fails ends the others wherever they are.
        pause = {"Type": "Wait", "Seconds": 1, "Next": name}
        broken = {"Type": "Fail", "Error": "Broken", "Cause": "as said"}
        return {"StartAt": "Pause", "States": {"Pause": pause, name: broken}}

    def passes(name: str) -> dict[str, Any]:
        return {"StartAt": name, "States": {name: {"Type": "Pass", "End": True}}}

    arn = machine(
        client,
        "nested",
        {
            "StartAt": "Items",
            "States": {
                "Items": {"Type": "Pass", "Result": {"items": [1, 2, 3]}, "Next": "Each"},
                "Each": {
                    "Type": "Map",
                    "ItemsPath": "$.items",
                    "ItemProcessor": passes("Item"),
                    "ResultPath": None,
                    "Next": "Both",
                },
                "Both": {
                    "Type": "Parallel",
                    "Branches": [passes("Good"), fails("Bad")],
                    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "After"}],
                    "Next": "Unreached",
                },
                "Unreached": {"Type": "Succeed"},
                "After": {"Type": "Succeed"},
            },
        },
    )
    found = until(client, arn, lambda found: found.status != "RUNNING")
    assert found.status == "SUCCEEDED"
    steps = {}
    for step in found.steps:
        steps.setdefault(step.name, []).append(step)
    assert {(step.iteration, step.depth, step.status) for step in steps["Item"]} == {
        (index, 1, "Succeeded") for index in range(3)
    }
    assert [(step.status, step.error) for step in steps["Both"]] == [("Caught", None)]
    assert steps["Each"][0].status == "Succeeded"
    assert steps["After"][0].origin == "Both"
    shown = drawn(found)
    assert shown["Each/0/Item"] == shown["Both/0/Good"] == "succeeded"
    assert (shown["Both"], shown["Both/1/Bad"], shown["Unreached"]) == (
        "error caught",
        "failed",
        "not reached",
    )


def test_a_distributed_map_tells_of_its_items(client: Callable[..., Any], workflow: str) -> None:
    client("s3").put_object(Bucket=NAME, Key="items.json", Body=b"[1, 2, 3]")
    arn = machine(
        client,
        "many",
        {
            "StartAt": "Many",
            "States": {
                "Many": {
                    "Type": "Map",
                    "ItemReader": {
                        "Resource": "arn:aws:states:::s3:getObject",
                        "ReaderConfig": {"InputType": "JSON"},
                        "Parameters": {"Bucket": NAME, "Key": "items.json"},
                    },
                    "ItemProcessor": {
                        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                        "StartAt": "Item",
                        "States": {"Item": {"Type": "Pass", "End": True}},
                    },
                    "End": True,
                }
            },
        },
    )
    found = until(client, arn, lambda found: found.status != "RUNNING")
    (step,) = [step for step in found.steps if step.name == "Many"]
    assert (step.status, step.items["total"], step.items["succeeded"]) == ("Succeeded", 3, 3)
    (node,) = [node for node in asl.graph(found.definition, found.steps).nodes if node.id == "Many"]
    assert node.caption.startswith("Distributed Map · ")
    assert node.caption.endswith("3 items: 3 succeeded")
    assert drawn(found)["Many/0/Item"] == "defined"  # what it did is in the histories of its own executions


def test_a_pipeline_s_execution_on_its_drawing(client: Callable[..., Any], tmp_path: Path) -> None:
    holds = {"Type": "Equals", "LeftValue": 1, "RightValue": {"Get": "Parameters.One"}}
    ends = [{"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": name}} for name in ("Yes", "No")]
    gate = {"Conditions": [holds], "IfSteps": ends[:1], "ElseSteps": ends[1:]}
    definition = {
        "Version": "2020-12-01",
        "Parameters": [{"Name": "One", "Type": "Integer", "DefaultValue": 1}],
        "Steps": [{"Name": "Gate", "Type": "Condition", "Arguments": gate}],
    }
    sagemaker = client("sagemaker")
    sagemaker.create_pipeline(
        PipelineName=NAME,
        PipelineDefinition=json.dumps(definition),
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/any",
    )
    arn = sagemaker.start_pipeline_execution(PipelineName=NAME)["PipelineExecutionArn"]
    wait_for(lambda: runs.describe(sagemaker, arn), "the end", 60, until=lambda now: now.status == "Failed")
    out = tmp_path / "pipeline.svg"
    for named in ("newest", arn, arn.rsplit("/", 1)[-1]):
        assert scones("pipeline", "graph", named, "--out", str(out)).exit_code == 0
        assert statuses(out.read_text()) == {"Gate": "succeeded", "Yes": "failed", "No": "not reached"}
