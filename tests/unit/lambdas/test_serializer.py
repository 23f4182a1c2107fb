from __future__ import annotations

import base64
import json

import pytest
from botocore.stub import Stubber

BUCKET, KEY = "scones-images", "scones/inference/bicycle.png"


@pytest.fixture(scope="module")
def serializer(load):
    return load("serializer")


def event(key=KEY, bucket=BUCKET, **more):
    return {"image_data": "", "s3_bucket": bucket, "s3_key": key} | more


@pytest.mark.parametrize("name", ["bare", "body_object", "body_text", "lambda_answer", "state_machine"])
def test_every_form_of_the_event_gives_the_same_answer(serializer, saved_event, context, png, name):
    answer = serializer.lambda_handler(saved_event(name), context)
    assert answer == {
        "statusCode": 200,
        "body": {
            "image_data": base64.b64encode(png).decode(),
            "s3_bucket": BUCKET,
            "s3_key": KEY,
            "inferences": [],
        },
    }


@pytest.mark.parametrize(
    ("size", "inline"), [(160 * 1024, True), (160 * 1024 + 1, False), (6 * 1024 * 1024, False)]
)
def test_an_image_too_large_to_travel_stays_in_s3(serializer, aws, png, size, inline):
    key = f"scones/inference/{size}.png"
    aws.put_object(Bucket=BUCKET, Key=key, Body=png.ljust(size, b"\0"))
    body = serializer.lambda_handler(event(key), None)["body"]
    assert bool(body["image_data"]) is inline
    # With a key of the longest kind and inferences for a hundred classes it must still fit between states.
    body |= {"s3_key": "\x7f" * 1024, "inferences": [1 / 3] * 100}
    assert len(json.dumps({"Payload": {"statusCode": 200, "body": body}})) < 262_144 - 4096


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (event(bucket=""), "InvalidEventError"),
        (event(bucket="../other"), "InvalidEventError"),
        (event(bucket=7), "InvalidEventError"),
        (event(key=""), "InvalidEventError"),
        (event(key=None), "InvalidEventError"),
        (event(key="scones/inference/../../secret.png"), "InvalidEventError"),
        (event(key="scones/inference/./a.png"), "InvalidEventError"),
        (event(key="scones/inference/\ud800.png"), "InvalidEventError"),
        (event(key="scones/inference/" + "ä" * 512), "InvalidEventError"),
        (event(key="elsewhere/a.png"), "KeyNotAllowedError"),
        (event(key="scones/inference/missing.png"), "ObjectNotFoundError"),
        (event(bucket="no-such-bucket"), "ObjectNotFoundError"),
        ([], "InvalidEventError"),
        ("text", "InvalidEventError"),
        (None, "InvalidEventError"),
        ({"body": None}, "InvalidEventError"),
        ({"body": "[" * 100_000}, "InvalidEventError"),
    ],
)
def test_a_mistake_has_a_name(serializer, wrong, error):
    with pytest.raises(serializer.SerializerError) as caught:
        serializer.lambda_handler(wrong, None)
    assert type(caught.value).__name__ == error
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("body", [b"", b"text", b"%PDF-1.7", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_image_is_refused(serializer, aws, body):
    key = f"scones/inference/{body.hex()}"
    aws.put_object(Bucket=BUCKET, Key=key, Body=body)
    with pytest.raises(serializer.NotAnImageError):
        serializer.lambda_handler(event(key), None)


def test_an_object_over_the_limit_is_refused_before_it_is_read(serializer, aws, monkeypatch):
    monkeypatch.setenv("MAX_IMAGE_BYTES", "10")
    with pytest.raises(serializer.ObjectTooLargeError, match="an image may have 10"):
        serializer.lambda_handler(event(), None)


def test_a_limit_that_is_no_number_is_named(serializer, monkeypatch):
    monkeypatch.setenv("MAX_IMAGE_BYTES", "a lot")
    with pytest.raises(serializer.ConfigurationError, match="MAX_IMAGE_BYTES"):
        serializer.lambda_handler(event(), None)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("SlowDown", 503, "ServiceUnavailableError"),
        ("InternalError", 500, "ServiceUnavailableError"),
        ("RequestTimeout", 400, "ServiceUnavailableError"),
        ("AccessDenied", 403, "ObjectAccessError"),
    ],
)
def test_what_s3_refuses_has_a_name(serializer, code, status, error):
    with Stubber(serializer._s3()) as stub:
        stub.add_client_error("get_object", code, http_status_code=status)
        with pytest.raises(serializer.SerializerError) as caught:
            serializer.lambda_handler(event(), None)
    assert type(caught.value).__name__ == error


def test_the_log_is_json_with_the_execution_and_without_the_image(serializer, saved_event, context, capsys):
    answer = serializer.lambda_handler(saved_event("state_machine"), context)
    printed = capsys.readouterr().out
    assert answer["body"]["image_data"] not in printed
    record = json.loads(printed)
    assert record["execution"] == "bicycle-0123456789abcdef"
    assert record["request_id"] == "0000-request"
    assert record["s3_key"] == KEY


def test_the_client_is_made_once(serializer):
    assert serializer._s3() is serializer._s3()
