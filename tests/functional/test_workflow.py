"""The inference workflow on the local AWS: deployed zips, state machine, S3 and an endpoint, over HTTP."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from PIL import Image

from tests.functional.endpoints import serving
from tests.functional.workflows import workflow_plan
from workflows import run
from workflows.deploy import deploy

BUCKET = "workflow-images"
CLASSES = ("dark", "bright")
# A model that says how bright an image is; given a picture of 3 by 3 pixels, it first fails three times.
BRIGHTNESS = """
import io, json, pathlib
from PIL import Image

def model_fn(model_dir):
    return pathlib.Path(model_dir)

def input_fn(body, content_type):
    try:
        image = Image.open(io.BytesIO(body))
    except OSError:
        raise ValueError("no image")
    if content_type != "image/" + image.format.lower():
        raise ValueError(f"{image.format} sent as {content_type}")
    return image

def predict_fn(image, model_dir):
    failures = model_dir / "failures"
    failed = len(failures.read_text()) if failures.exists() else 0
    if image.size == (3, 3) and failed < 3:
        failures.write_text("x" * (failed + 1))
        raise RuntimeError("busy")
    bright = image.convert("L").resize((1, 1)).getpixel((0, 0)) / 255
    return [1 - bright, bright]

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


plan = partial(workflow_plan, bucket=BUCKET, name_prefix="workflow-test")


@pytest.fixture(scope="module")
def endpoint_name(client: Callable[..., Any]) -> Iterator[str]:
    with serving(client, BUCKET, "brightness", BRIGHTNESS) as name:
        yield name


@pytest.fixture(scope="module")
def state_machine(client: Callable[..., Any], endpoint_name: str) -> str:
    return deploy(client, plan(endpoint_name=endpoint_name)).state_machine_arn


def put(client: Callable[..., Any], name: str, body: bytes) -> str:
    key = f"scones/inference/{name}"
    client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)
    return key


def picture(brightness: int, size: int = 8, image_format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (size, size), brightness).save(buffer, image_format)
    return buffer.getvalue()


def one(client: Callable[..., Any], state_machine: str, key: str, **options: Any) -> run.InferenceResult:
    return run.run(client, state_machine, BUCKET, [key], CLASSES, **options)[0]


def test_a_confident_image_succeeds(client: Callable[..., Any], state_machine: str) -> None:
    key = put(client, "bright.png", picture(250))
    assert one(client, state_machine, key).as_dict() == {
        "s3_key": key,
        "status": "SUCCEEDED",
        "predicted": "bright",
        "confidence": pytest.approx(250 / 255),
        "outcome": "ImageClassified",
    }


def test_an_image_under_the_threshold_ends_in_its_own_state(
    client: Callable[..., Any], state_machine: str
) -> None:
    key = put(client, "grey.png", picture(102))
    started = run.start(client, state_machine, BUCKET, [key])
    (result,) = run.wait(client, started, CLASSES)
    assert result == run.InferenceResult(key, "FAILED", "dark", pytest.approx(0.6), "ThresholdNotMet")
    execution = client("stepfunctions").describe_execution(executionArn=started[0].execution_arn)
    assert execution["error"] == "ThresholdNotMet"
    assert execution["cause"].startswith("THRESHOLD_CONFIDENCE_NOT_MET")
    assert key in execution["cause"]


def test_the_threshold_of_the_event_counts(client: Callable[..., Any], state_machine: str) -> None:
    key = put(client, "grey-again.png", picture(102))
    assert one(client, state_machine, key, threshold=0.55).outcome == "ImageClassified"
    assert one(client, state_machine, key, threshold=7).outcome == "InvalidEvent"


@pytest.mark.parametrize(
    ("name", "body", "outcome", "error"),
    [
        ("missing.png", None, "ImageNotFound", "ObjectNotFoundError"),
        ("notes.txt", b"this is text", "ImageRefused", "NotAnImageError"),
        ("huge.png", picture(1) + bytes(7_000_000), "ImageRefused", "ObjectTooLargeError"),
        ("../outside.png", None, "InvalidEvent", "InvalidEventError"),
    ],
)
def test_each_mistake_has_its_own_end(
    client: Callable[..., Any], state_machine: str, name: str, body: bytes | None, outcome: str, error: str
) -> None:
    key = put(client, name, body) if body else f"scones/inference/{name}"
    started = run.start(client, state_machine, BUCKET, [key])
    (result,) = run.wait(client, started, CLASSES)
    assert (result.status, result.outcome, result.confidence) == ("FAILED", outcome, None)
    execution = client("stepfunctions").describe_execution(executionArn=started[0].execution_arn)
    assert execution["error"] == error
    assert json.loads(execution["cause"])["errorType"] == error


def test_a_key_outside_the_prefix_is_refused(client: Callable[..., Any], state_machine: str) -> None:
    client("s3").put_object(Bucket=BUCKET, Key="secrets/a.png", Body=picture(250))
    assert one(client, state_machine, "secrets/a.png").outcome == "InvalidEvent"


@pytest.mark.parametrize("event", [[], "text", {"body": "no json"}, {"s3_bucket": BUCKET}])
def test_any_input_that_is_no_event_ends_in_its_own_state(
    client: Callable[..., Any], state_machine: str, event: Any
) -> None:
    started = client("stepfunctions").start_execution(
        stateMachineArn=state_machine, name=run.execution_name("bad"), input=json.dumps(event)
    )
    (result,) = run.wait(client, [run.Started("", started["executionArn"])], CLASSES)
    assert result.outcome == "InvalidEvent"


def test_a_wrapped_event_is_taken(client: Callable[..., Any], state_machine: str) -> None:
    key = put(client, "wrapped.png", picture(5))
    event = {"body": json.dumps({"image_data": "", "s3_bucket": BUCKET, "s3_key": key})}
    started = client("stepfunctions").start_execution(
        stateMachineArn=state_machine, name=run.execution_name(key), input=json.dumps(event)
    )
    (result,) = run.wait(client, [run.Started(key, started["executionArn"])], CLASSES)
    assert (result.predicted, result.outcome) == ("dark", "ImageClassified")


def test_a_large_image_travels_by_reference(client: Callable[..., Any], state_machine: str) -> None:
    body = picture(255) + bytes(400_000)  # decoders stop at the image's end
    key = put(client, "large.png", body)
    started = run.start(client, state_machine, BUCKET, [key])
    (result,) = run.wait(client, started, CLASSES)
    assert result.outcome == "ImageClassified"
    output = client("stepfunctions").describe_execution(executionArn=started[0].execution_arn)["output"]
    assert json.loads(output)["image_data"] == ""


def test_a_jpeg_is_sent_as_what_it_is(client: Callable[..., Any], state_machine: str) -> None:
    key = put(client, "named-wrongly.png", picture(255, image_format="JPEG"))
    assert one(client, state_machine, key).outcome == "ImageClassified"


def test_an_image_that_the_model_cannot_read_is_refused(
    client: Callable[..., Any], state_machine: str
) -> None:
    key = put(client, "cut.png", picture(255)[:20])
    assert one(client, state_machine, key).outcome == "ImageRefused"


def test_a_failing_model_is_asked_again(client: Callable[..., Any], state_machine: str) -> None:
    key = put(client, "patient.png", picture(255, size=3))
    started = run.start(client, state_machine, BUCKET, [key])
    (result,) = run.wait(client, started, CLASSES)
    assert result.outcome == "ImageClassified"
    history = client("stepfunctions").get_execution_history(executionArn=started[0].execution_arn)["events"]
    failures = [event for event in history if event["type"] == "TaskFailed"]
    assert {event["taskFailedEventDetails"]["error"] for event in failures} == {"ServiceUnavailableError"}


def test_a_missing_endpoint_has_its_own_end(client: Callable[..., Any], state_machine: str) -> None:
    arn = deploy(client, plan(endpoint_name="gone", name_prefix="workflow-gone")).state_machine_arn
    key = put(client, "nobody-asked.png", picture(255))
    assert one(client, arn, key).outcome == "EndpointNotFound"


def test_deploying_again_changes_nothing(client: Callable[..., Any], state_machine: str) -> None:
    wanted = plan(name_prefix="workflow-twice")
    made = deploy(client, wanted).changes
    assert {"Serializer", "Classifier", "ConfidenceFilter", "Inference"} <= {c.logical_id for c in made}
    assert {change.action for change in made} == {"Add"}
    assert deploy(client, wanted).changes == ()
    stricter = plan(name_prefix="workflow-twice", threshold=0.95)
    changes = deploy(client, stricter).changes
    assert {(change.action, change.physical_id, change.replacement) for change in changes} == {
        ("Modify", "workflow-twice-batch-classifier", "False"),
        ("Modify", "workflow-twice-confidence-filter", "False"),
    }


def test_executions_are_listed_newest_first(client: Callable[..., Any], endpoint_name: str) -> None:
    arn = deploy(client, plan(endpoint_name=endpoint_name, name_prefix="workflow-list")).state_machine_arn
    keys = [put(client, f"list-{number}.png", picture(250)) for number in range(3)]
    for key in keys:
        one(client, arn, key)
        time.sleep(0.05)
    listed = run.list_executions(client, arn)
    assert [item.name.split("-")[1] for item in listed] == ["2", "1", "0"]
    assert {item.status for item in listed} == {"SUCCEEDED"}
    assert run.list_executions(client, arn, status="FAILED") == []
    assert len(run.list_executions(client, arn, limit=2)) == 2
