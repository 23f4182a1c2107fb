"""Distributed maps on the local AWS: results written, failures tolerated or not, counts, and stopping."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.waiting import wait_for

BUCKET = "map-runs"
ROLE = "arn:aws:iam::123456789012:role/r"
# Fails for negative numbers, waits for those over 1,000, and gives the rest back beside the map's own input.
PROCESSOR = {
    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
    "StartAt": "Look",
    "States": {
        "Look": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.number", "NumericLessThan": 0, "Next": "Negative"},
                {"Variable": "$.number", "NumericGreaterThan": 1000, "Next": "Patience"},
            ],
            "Default": "Positive",
        },
        "Negative": {"Type": "Fail", "Error": "NegativeError", "Cause": "below nothing"},
        "Patience": {"Type": "Wait", "Seconds": 60, "End": True},
        "Positive": {"Type": "Pass", "End": True},
    },
}


def machine(client: Callable[..., Any], **map_fields: Any) -> str:
    state = {
        "Type": "Map",
        "End": True,
        "Label": "Numbers",
        "MaxConcurrencyPath": "$.concurrency",
        "ToleratedFailureCountPath": "$.tolerated",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket": BUCKET, "Key.$": "$.key"},
        },
        "ItemSelector": {"number.$": "$$.Map.Item.Value", "of.$": "$.key"},
        "ItemProcessor": PROCESSOR,
        "ResultWriter": {
            "Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": BUCKET, "Prefix.$": "States.Format('{}/results', $.key)"},
        },
    }
    made = client("stepfunctions").create_state_machine(
        name=f"map-{uuid.uuid4().hex[:8]}",
        roleArn=ROLE,
        definition=json.dumps({"StartAt": "M", "States": {"M": state | map_fields}}),
    )
    return made["stateMachineArn"]


@pytest.fixture(scope="module")
def arn(client: Callable[..., Any]) -> str:
    client("s3").create_bucket(Bucket=BUCKET)
    return machine(client)


def start(client: Callable[..., Any], arn: str, items: list[int], concurrency: int, tolerated: int) -> Any:
    key = f"{uuid.uuid4().hex}.json"
    client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps(items))
    given = {"key": key, "concurrency": concurrency, "tolerated": tolerated}
    started = client("stepfunctions").start_execution(stateMachineArn=arn, input=json.dumps(given))
    return key, started["executionArn"]


def end(client: Callable[..., Any], execution: str) -> dict[str, Any]:
    return wait_for(
        lambda: client("stepfunctions").describe_execution(executionArn=execution),
        "the end",
        60,
        until=lambda found: found["status"] != "RUNNING",
    )


def described(client: Callable[..., Any], execution: str) -> dict[str, Any]:
    (run,) = client("stepfunctions").list_map_runs(executionArn=execution)["mapRuns"]
    return client("stepfunctions").describe_map_run(mapRunArn=run["mapRunArn"])


def files(client: Callable[..., Any], key: str) -> dict[str, Any]:
    listed = client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{key}/results/")["Contents"]
    return {
        item["Key"].rpartition("/")[2]: json.load(
            client("s3").get_object(Bucket=BUCKET, Key=item["Key"])["Body"]
        )
        for item in listed
    }


def test_results_of_all_children_are_written(client: Callable[..., Any], arn: str) -> None:
    key, execution = start(client, arn, [1, -2, 3, 4], concurrency=2, tolerated=1)
    found = end(client, execution)
    assert found["status"] == "SUCCEEDED", found
    written = files(client, key)
    details = json.loads(found["output"])["ResultWriterDetails"]
    assert details["Key"].endswith("/manifest.json")
    listed = written["manifest.json"]["ResultFiles"]
    assert {name: len(entries) for name, entries in listed.items()} == {
        "SUCCEEDED": 1,
        "FAILED": 1,
        "PENDING": 0,
    }
    outputs = [json.loads(entry["Output"]) for entry in written["SUCCEEDED_0.json"]]
    assert outputs == [{"number": number, "of": key} for number in (1, 3, 4)]
    (failed,) = written["FAILED_0.json"]
    assert (failed["Error"], failed["Cause"], json.loads(failed["Input"])["number"]) == (
        "NegativeError",
        "below nothing",
        -2,
    )
    run = described(client, execution)
    counts = {name: number for name, number in run["itemCounts"].items() if number}
    assert counts == {"succeeded": 3, "failed": 1, "total": 4, "resultsWritten": 3}
    assert (run["status"], run["executionCounts"]) == ("SUCCEEDED", run["itemCounts"])


def test_too_many_failures_end_the_run(client: Callable[..., Any], arn: str) -> None:
    key, execution = start(client, arn, [1, -2, -3, *range(100, 200)], concurrency=1, tolerated=1)
    found = end(client, execution)
    assert (found["status"], found["error"]) == ("FAILED", "States.ExceedToleratedFailureThreshold")
    written = files(client, key)
    sizes = {name: len(entries) for name, entries in written.items() if name != "manifest.json"}
    assert sizes == {"SUCCEEDED_0.json": 1, "FAILED_0.json": 2, "PENDING_0.json": 100}
    assert written["PENDING_0.json"][0]["Input"] == "100"
    run = described(client, execution)
    assert (run["status"], run["itemCounts"]["pending"]) == ("FAILED", 100)


def test_no_failure_is_tolerated_unless_it_is_said(client: Callable[..., Any], arn: str) -> None:
    _, execution = start(client, arn, [-1], concurrency=0, tolerated=0)
    assert end(client, execution)["status"] == "FAILED"


def test_many_items_one_after_the_other(client: Callable[..., Any], arn: str) -> None:
    _, execution = start(client, arn, [7] * 1200, concurrency=1, tolerated=0)
    assert end(client, execution)["status"] == "SUCCEEDED"


def test_stopping_ends_a_run(client: Callable[..., Any], arn: str) -> None:
    _, execution = start(client, arn, [1, 2000, 2000], concurrency=3, tolerated=0)
    wait_for(lambda: client("stepfunctions").list_map_runs(executionArn=execution)["mapRuns"], "the run", 30)
    wait_for(lambda: described(client, execution)["itemCounts"], "one", 30, until=lambda n: n["succeeded"])
    assert described(client, execution)["itemCounts"]["running"] == 2
    client("stepfunctions").stop_execution(executionArn=execution)
    assert end(client, execution)["status"] == "ABORTED"
