"""A batch's results: one a key, whatever became of the others."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from lambdas.batch_classifier import handler

BUCKET, PREFIX = "scones-batches", "scones/inference/"


class Endpoint:
    """Answers by what is behind the PNG signature; `busy` images first time out so many times."""

    def __init__(self) -> None:
        self.busy: dict[bytes, int] = {}
        self.asked = 0

    def invoke_endpoint(self, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        self.asked += 1
        name = Body[8:]
        if self.busy.get(name):
            self.busy[name] -= 1
            raise ReadTimeoutError(endpoint_url="endpoint")
        if name == b"missing endpoint":
            raise refusal("ValidationError", 400, "Endpoint x not found")
        if name == b"refused":
            raise refusal("AccessDenied", 403, "no")
        return {"Body": io.BytesIO(json.dumps(json.loads(name)).encode())}


def refusal(code: str, status: int, message: str) -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "InvokeEndpoint")


@pytest.fixture
def endpoint(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    made = Endpoint()
    clients = {"s3": aws, "sagemaker-runtime": made}
    monkeypatch.setattr(handler.classifier, "_client", clients.__getitem__)
    monkeypatch.setattr(handler, "PAUSES", (0, 0, 0))
    return made


@pytest.fixture
def put(aws: Any) -> Any:
    aws.create_bucket(Bucket=BUCKET)

    def put(name: str, content: str, signature: bytes = b"\x89PNG\r\n\x1a\n") -> str:
        aws.put_object(Bucket=BUCKET, Key=PREFIX + name, Body=signature + content.encode())
        return PREFIX + name

    return put


def classify(keys: list[str], seconds: float = 140, **changes: Any) -> list[dict[str, Any]]:
    event = {"s3_bucket": BUCKET, "s3_keys": keys, "classes": ["a", "b"], "threshold": None} | changes
    context = SimpleNamespace(
        aws_request_id="0000-request", get_remaining_time_in_millis=lambda: seconds * 1000
    )
    return handler.lambda_handler(event, context)


def test_a_result_a_key_in_their_order(endpoint, put):
    keys = [
        put("sure", "[0.1, 0.9]"),
        put("unsure", "[0.6, 0.4]"),
        PREFIX + "gone",
        put("text", "", signature=b"text"),
        "secrets/a.png",
        put("refused", "refused"),
        put("third", "[0, 0, 1]"),
    ]
    results = classify(keys)
    assert [result["s3_key"] for result in results] == keys
    found = [(result["predicted"], result["confidence"], result["outcome"]) for result in results]
    assert found == [
        ("b", 0.9, "ImageClassified"),
        ("a", 0.6, "ThresholdNotMet"),
        (None, None, "ImageNotFound"),
        (None, None, "ImageRefused"),
        (None, None, "InvalidEvent"),
        (None, None, "EndpointError"),
        ("class 2", 1.0, "ImageClassified"),
    ]
    errors = [result["error"] for result in results]
    assert errors[:2] == [None, None]
    assert errors[2].startswith("ObjectNotFoundError: s3://scones-batches/scones/inference/gone ")
    assert errors[4].startswith("KeyNotAllowedError: ")


def test_the_runs_threshold_counts(endpoint, put):
    key = put("unsure", "[0.6, 0.4]")
    assert classify([key], threshold=0.5)[0]["outcome"] == "ImageClassified"
    with pytest.raises(handler.confidence_filter.InvalidEventError):
        classify([key], threshold=7)


def test_what_timed_out_is_tried_again(endpoint, put):
    keys = [put("slow", "[1, 0]"), put("quick", "[0, 1]")]
    endpoint.busy[b"[1, 0]"] = 2
    assert {result["outcome"] for result in classify(keys)} == {"ImageClassified"}
    assert endpoint.asked == 4


def test_one_that_stays_slow_costs_the_others_nothing(endpoint, put):
    keys = [put("slow", "[1, 0]"), put("quick", "[0, 1]")]
    endpoint.busy[b"[1, 0]"] = 9
    assert [result["outcome"] for result in classify(keys)] == ["ServiceUnavailable", "ImageClassified"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("missing endpoint", handler.classifier.EndpointNotFoundError),
        ("refused", handler.classifier.EndpointError),
        ('"no list"', handler.classifier.InvalidPredictionError),
    ],
)
def test_what_meets_every_image_is_raised(endpoint, put, content, error):
    with pytest.raises(error):
        classify([put("one", content), put("two", content)])


def test_an_endpoint_that_never_answers_is_raised(endpoint, put):
    endpoint.busy[b"[1, 0]"] = 99
    with pytest.raises(handler.classifier.ServiceUnavailableError):
        classify([put("one", "[1, 0]"), put("two", "[1, 0]")])


def test_images_that_time_does_not_reach_are_not_begun(endpoint, put):
    with pytest.raises(handler.classifier.ServiceUnavailableError, match="time was over"):
        classify([put("one", "[1, 0]")], seconds=1)
    assert endpoint.asked == 0


def test_a_key_that_is_named_twice_is_asked_about_once(endpoint, put):
    key = put("one", "[1, 0]")
    assert len(classify([key, key])) == 2
    assert endpoint.asked == 1


@pytest.mark.parametrize(
    "changes",
    [{"s3_bucket": 1}, {"s3_keys": []}, {"s3_keys": ["k"] * 101}, {"s3_keys": "k"}, {"classes": [1]}],
)
def test_what_is_no_batch_is_refused(endpoint, changes):
    with pytest.raises(handler.InvalidBatchError):
        classify(["k"], **changes)


def test_the_log_names_what_failed_and_counts_the_rest(endpoint, put, capsys):
    classify([put("sure", "[0.1, 0.9]"), PREFIX + "gone"], execution="holiday-1")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["level"], line["execution"]) for line in lines] == [
        ("WARNING", "holiday-1"),
        ("INFO", "holiday-1"),
    ]
    assert lines[0]["s3_key"] == PREFIX + "gone"
    assert lines[1]["outcomes"] == {"ImageClassified": 1, "ImageNotFound": 1}


def test_the_longest_results_stay_under_a_states_limit(endpoint, put):
    keys = [PREFIX + f"{number:03}" + "ü" * 500 for number in range(100)]
    results = classify(keys)
    assert {result["outcome"] for result in results} == {"ImageNotFound"}
    assert len(json.dumps(results, ensure_ascii=False).encode()) < 262_144
