"""One file of results from what a distributed map wrote."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from lambdas.batch_results import handler

BUCKET = "scones-results"


@pytest.fixture
def folder(aws: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    aws.create_bucket(Bucket=BUCKET)
    monkeypatch.setattr(handler, "_s3", lambda: aws)
    return f"scones/batches/{uuid.uuid4().hex}/"


def put(aws: Any, key: str, value: Any) -> None:
    aws.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(value))


def result(key: str, outcome: str = "ImageClassified", **fields: Any) -> dict[str, Any]:
    known = {"predicted": "a", "confidence": 0.9, "error": None}
    return {"s3_key": key, "outcome": outcome} | known | fields


def succeeded(*results: dict[str, Any]) -> dict[str, Any]:
    return {"Status": "SUCCEEDED", "Output": json.dumps(results)}


def failed(keys: list[str], **fields: Any) -> dict[str, Any]:
    return {"Status": "FAILED", "Input": json.dumps({"s3_keys": keys})} | fields


def merged(aws: Any, folder: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    answer = handler.lambda_handler({"s3_bucket": BUCKET, "folder": folder, "execution": "x"}, None)
    body = aws.get_object(Bucket=BUCKET, Key=f"{folder}results.jsonl")["Body"].read()
    return answer, [json.loads(line) for line in body.splitlines()]


def test_a_line_an_image_in_the_manifests_order(aws, folder):
    put(aws, f"{folder}manifest.json", [{"s3_keys": ["ä", "b"]}, {"s3_keys": ["c"]}, {"s3_keys": ["d"]}])
    put(aws, f"{folder}results/run/manifest.json", {"ResultFiles": {}})
    put(aws, f"{folder}results/run/SUCCEEDED_0.json", [succeeded(result("c", "ThresholdNotMet"))])
    put(aws, f"{folder}results/run/SUCCEEDED_1.json", [succeeded(result("b"), result("ä", "ImageRefused"))])
    put(aws, f"{folder}results/run/PENDING_0.json", [{"Status": "PENDING"}])
    answer, lines = merged(aws, folder)
    assert [line["s3_key"] for line in lines] == ["ä", "b", "c", "d"]
    assert lines[3] == result("d", "NotClassified", predicted=None, confidence=None)
    assert answer == {
        "s3_bucket": BUCKET,
        "s3_key": f"{folder}results.jsonl",
        "images": 4,
        "failed": 2,
        "outcomes": {"ImageRefused": 1, "ImageClassified": 1, "ThresholdNotMet": 1, "NotClassified": 1},
    }


@pytest.mark.parametrize(
    ("fields", "outcome", "error"),
    [
        (
            {"Error": "EndpointNotFoundError", "Cause": json.dumps({"errorMessage": "There is none."})},
            "EndpointNotFound",
            "EndpointNotFoundError: There is none.",
        ),
        ({"Error": "Sandbox.Timedout", "Cause": "plain text"}, "Sandbox.Timedout", "Sandbox.Timedout: plain"),
        ({"Status": "TIMED_OUT"}, "TIMED_OUT", "TIMED_OUT: "),
        ({"Error": "Runtime.ExitError", "Cause": "[1]"}, "Runtime.ExitError", "Runtime.ExitError: [1]"),
    ],
)
def test_a_failed_batch_is_told_of_each_of_its_images(aws, folder, fields, outcome, error):
    put(aws, f"{folder}manifest.json", [{"s3_keys": ["a", "b"]}])
    put(aws, f"{folder}results/run/FAILED_0.json", [failed(["a", "b"], **fields)])
    answer, lines = merged(aws, folder)
    assert (answer["failed"], answer["outcomes"]) == (2, {outcome: 2})
    assert all(line["error"].startswith(error) for line in lines)


@pytest.mark.parametrize("content", [None, {"a": 1}, ["a"], [["a"]], 7])
def test_a_manifest_that_cannot_be_read(aws, folder, content):
    if content is not None:
        put(aws, f"{folder}manifest.json", content)
    with pytest.raises(handler.ManifestError, match=r"manifest\.json is"):
        merged(aws, folder)


@pytest.mark.parametrize("event", [None, {}, {"s3_bucket": BUCKET, "folder": "no-slash"}])
def test_what_is_no_event_is_refused(folder, event):
    with pytest.raises(handler.InvalidEventError):
        handler.lambda_handler(event, None)


def test_a_bucket_that_is_not_there_is_no_hiccup(aws, folder):
    with pytest.raises(handler.AccessError, match="NoSuchBucket"):
        handler.lambda_handler({"s3_bucket": "scones-nowhere", "folder": folder}, None)
