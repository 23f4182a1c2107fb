"""Images under the threshold that wait for a person, over HTTP: by token, once, within a time."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline import destroy
from pipeline.clients import connect
from pipeline.settings import load
from tests.functional.endpoints import serving
from tests.functional.workflows import workflow_plan
from workflows import run, stacks
from workflows.deploy import deploy
from workflows.plan import WorkflowPlan
from workflows.review import ImageGoneError, NoReviewError, ReviewClosedError, ReviewItem, Reviews

BUCKET = "review-images"
ROLE = "arn:aws:iam::123456789012:role/scones-execution"
CLASSES = ("dark", "bright")
UNDECIDED = """
def model_fn(model_dir): return None
def input_fn(body, content_type): return body
def predict_fn(data, model): return [0.4, 0.6]
def output_fn(prediction, accept): return str(prediction)
"""


plan = partial(workflow_plan, bucket=BUCKET, name_prefix="review-test", review=True)


@pytest.fixture(scope="module")
def endpoint_name(client: Callable[..., Any]) -> Iterator[str]:
    with serving(client, BUCKET, "undecided", UNDECIDED) as name:
        yield name


@pytest.fixture(scope="module")
def deployed(client: Callable[..., Any], endpoint_name: str) -> WorkflowPlan:
    wanted = plan(endpoint_name)
    deploy(client, wanted)
    return wanted


@pytest.fixture
def reviews(client: Callable[..., Any], deployed: WorkflowPlan) -> Reviews:
    return Reviews(client, deployed)


def ask(client: Callable[..., Any], deployed: WorkflowPlan, name: str) -> run.Started:
    picture = io.BytesIO()
    Image.new("L", (8, 8), 120).save(picture, "PNG")
    key = f"scones/inference/{name}.png"
    client("s3").put_object(Bucket=BUCKET, Key=key, Body=picture.getvalue())
    (started,) = run.start(client, deployed.state_machine_arn, BUCKET, [key])
    return started


def waiting(
    client: Callable[..., Any], deployed: WorkflowPlan, reviews: Reviews, name: str
) -> tuple[run.Started, ReviewItem]:
    started = ask(client, deployed, name)
    (result,) = run.wait(client, [started], CLASSES, timeout=30, review=True)
    assert (result.status, result.outcome) == ("RUNNING", "WaitForReview")
    return started, reviews.find(started.execution_arn.rsplit(":", 1)[-1])


def test_a_label_lets_the_execution_go_on_and_is_kept_beside_the_image(
    client: Callable[..., Any], deployed: WorkflowPlan, reviews: Reviews
) -> None:
    started, item = waiting(client, deployed, reviews, "labelled")
    assert item.inferences == [0.4, 0.6]
    assert reviews.image(item).startswith(b"\x89PNG")
    assert "task_token" not in item.as_dict()
    reviews.answer(item, "dark", "ada")
    (result,) = run.wait(client, [started], CLASSES, timeout=30)
    assert result == run.InferenceResult(started.s3_key, "SUCCEEDED", "dark", None, "ImageReviewed")
    kept = client("s3").get_object(Bucket=BUCKET, Key=f"{started.s3_key}.label.json")["Body"].read()
    label = json.loads(kept)
    assert (label["label"], label["reviewer"], label["s3_key"]) == ("dark", "ada", started.s3_key)
    assert [one.s3_key for one in reviews.labelled(["dark"])] == [started.s3_key]
    assert reviews.labelled(["bright"]) == []
    client("s3").delete_object(Bucket=BUCKET, Key=started.s3_key)
    with pytest.raises(ImageGoneError, match=f"no longer at {started.s3_key}"):
        reviews.image(item)


def test_a_second_answer_is_refused(
    client: Callable[..., Any], deployed: WorkflowPlan, reviews: Reviews
) -> None:
    started, item = waiting(client, deployed, reviews, "twice")
    reviews.answer(item, "dark", "ada")
    with pytest.raises(ReviewClosedError, match="closed already"):
        reviews.answer(item, "bright", "bob")  # at once, from a list that was read before
    (result,) = run.wait(client, [started], CLASSES, timeout=30)
    with pytest.raises(ReviewClosedError, match="closed already"):
        reviews.answer(item, None, "bob")
    assert result.predicted == "dark"
    closed = reviews.find(item.id)
    assert closed.status == "dark"
    with pytest.raises(ReviewClosedError, match="closed already: dark"):
        reviews.answer(closed, "bright", "bob")


def test_a_rejection_has_its_own_end(
    client: Callable[..., Any], deployed: WorkflowPlan, reviews: Reviews
) -> None:
    started, item = waiting(client, deployed, reviews, "rejected")
    reviews.answer(item, None, "ada")
    (result,) = run.wait(client, [started], CLASSES, timeout=30)
    assert (result.status, result.outcome) == ("FAILED", "ReviewRejected")
    assert reviews.find(item.id).status == "rejected"


def test_looking_hides_and_loses_nothing(
    client: Callable[..., Any], deployed: WorkflowPlan, reviews: Reviews
) -> None:
    wanted = {waiting(client, deployed, reviews, f"many-{number}")[1].id for number in range(3)}
    for _ in range(3):  # of two people at once, both see all of them, each time
        for person in (reviews, Reviews(client, deployed)):
            assert wanted <= {item.id for item in person.open()}
    one = reviews.find(min(wanted))
    reviews.answer(one, "dark", "ada")
    run.wait(client, [run.Started(one.s3_key, one.execution_arn)], CLASSES, timeout=30)
    assert {item.id for item in reviews.open()} & wanted == wanted - {one.id}
    assert one.id in {item.id for item in reviews.closed()}


@pytest.mark.parametrize(
    "limits",
    [
        {"review_timeout_seconds": 2, "review_heartbeat_seconds": 60},
        {"review_timeout_seconds": 60, "review_heartbeat_seconds": 2},
    ],
)
def test_time_is_limited(client: Callable[..., Any], endpoint_name: str, limits: dict[str, int]) -> None:
    wanted = plan(endpoint_name, name_prefix=f"review-{limits['review_timeout_seconds']}", **limits)
    deploy(client, wanted)
    started = ask(client, wanted, f"late-{limits['review_timeout_seconds']}")
    (result,) = run.wait(client, [started], CLASSES, timeout=30)
    assert (result.status, result.outcome) == ("FAILED", "ReviewTimedOut")
    execution = client("stepfunctions").describe_execution(executionArn=started.execution_arn)
    assert execution["error"] == "ReviewTimedOut"
    assert started.s3_key in execution["cause"]
    reviews = Reviews(client, wanted)
    assert reviews.open() == []
    item = reviews.find(started.execution_arn.rsplit(":", 1)[-1])
    assert item.status == "ReviewTimedOut"
    with pytest.raises(ReviewClosedError, match="ReviewTimedOut"):
        reviews.answer(item, "dark", "ada")


def test_heartbeats_keep_an_item_open(client: Callable[..., Any], endpoint_name: str) -> None:
    wanted = plan(endpoint_name, name_prefix="review-beats", review_heartbeat_seconds=4)
    deploy(client, wanted)
    reviews = Reviews(client, wanted)
    started, item = waiting(client, wanted, reviews, "watched")
    for _ in range(10):
        time.sleep(0.5)
        assert [found.id for found in reviews.open()] == [item.id]
    reviews.answer(item, "bright", "ada")
    (result,) = run.wait(client, [started], CLASSES, timeout=30)
    assert result.outcome == "ImageReviewed"


def test_what_does_not_wait_is_said(reviews: Reviews) -> None:
    with pytest.raises(NoReviewError, match="no image waits as nobody"):
        reviews.find("nobody")


def test_an_item_whose_execution_is_forgotten_is_closed_and_keeps_no_other_from_being_seen(
    client: Callable[..., Any], deployed: WorkflowPlan, reviews: Reviews
) -> None:
    """As after the state machine was deleted and made again."""
    started, item = waiting(client, deployed, reviews, "after-the-forgotten")
    gone = item.as_dict() | {"execution_arn": f"{started.execution_arn}-gone", "task_token": "AAAA"}
    message = {name: value for name, value in gone.items() if name not in ("id", "status")}
    queue = client("sqs").get_queue_url(QueueName=deployed.review_queue_name)["QueueUrl"]
    client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(message))
    ids = [one.id for one in reviews.open()]
    assert item.id in ids
    assert f"{item.id}-gone" not in ids
    assert reviews.find(f"{item.id}-gone").status == "ExecutionDoesNotExist"
    reviews.answer(item, None, "ada")


def test_what_waits_is_stopped_before_its_state_machine_is_destroyed(
    client: Callable[..., Any], endpoint_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else Step Functions keeps the machine, and CloudFormation waits, for as long as a person may take."""
    name = "review-destroyed"
    wanted = plan(endpoint_name, name_prefix=name)
    deploy(client, wanted)
    started, _ = waiting(client, wanted, Reviews(client, wanted), "destroyed")
    monkeypatch.chdir(tmp_path)
    settings = load(
        bucket=BUCKET, endpoint_name_prefix=name, pipeline_name=name, model_package_group=name, role_arn=ROLE
    )
    (stack,) = (item for item in destroy.find(connect(settings), settings) if item.kind == "stack")
    assert stack.note.endswith("; 1 executions are stopped first")
    ended, delete = [], stacks.delete

    def look_and_delete(*arguments: Any) -> Any:  # with the machine, its executions are forgotten
        ended.append(client("stepfunctions").describe_execution(executionArn=started.execution_arn))
        return delete(*arguments)

    monkeypatch.setattr(stacks, "delete", look_and_delete)
    stack.remove()
    assert [(execution["status"], execution["error"]) for execution in ended] == [("ABORTED", "Destroyed")]
