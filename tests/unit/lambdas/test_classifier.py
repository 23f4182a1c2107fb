from __future__ import annotations

import base64
import io
import json

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

BUCKET, KEY = "scones-images", "scones/inference/bicycle.png"


@pytest.fixture(scope="module")
def classifier(load):
    return load("classifier")


@pytest.fixture
def endpoint(classifier):
    """botocore's stub in front of the handler's own client."""
    with Stubber(classifier._client("sagemaker-runtime")) as stub:
        yield stub


def answer_with(endpoint, body, image, content_type="image/png"):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    endpoint.add_response(
        "invoke_endpoint",
        {"Body": StreamingBody(io.BytesIO(raw), len(raw))},
        {
            "EndpointName": "scones-endpoint",
            "Body": image,
            "ContentType": content_type,
            "Accept": "application/json",
        },
    )


def event(image: bytes, **more):
    return {"image_data": base64.b64encode(image).decode(), "s3_bucket": BUCKET, "s3_key": KEY} | more


@pytest.mark.parametrize("name", ["bare", "body_object", "body_text", "lambda_answer", "state_machine"])
def test_an_image_left_in_s3_is_read_there(classifier, endpoint, saved_event, context, png, name):
    answer_with(endpoint, [0.25, 0.75], png)
    body = classifier.lambda_handler(saved_event(name), context)["body"]
    assert body == {"image_data": "", "s3_bucket": BUCKET, "s3_key": KEY, "inferences": [0.25, 0.75]}


@pytest.mark.parametrize(
    ("image", "content_type"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0...", "image/jpeg"),
        (b"GIF89a...", "application/x-image"),
        (b"BM......", "application/x-image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "application/x-image"),
    ],
)
def test_the_bytes_say_the_content_type(classifier, endpoint, image, content_type):
    answer_with(endpoint, [1, 0], image, content_type)
    answer = classifier.lambda_handler(event(image, threshold=0.5), None)
    assert answer == {"statusCode": 200, "body": event(image, threshold=0.5, inferences=[1.0, 0.0])}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"not json", "InvalidPredictionError"),
        (b"", "InvalidPredictionError"),
        ([], "InvalidPredictionError"),
        ({"probabilities": [0.5, 0.5]}, "InvalidPredictionError"),
        ([[0.5, 0.5]], "InvalidPredictionError"),
        ([0.5, None], "InvalidPredictionError"),
        (b"[NaN, 1]", "InvalidPredictionError"),
        (b"[1e999]", "InvalidPredictionError"),
        ([-0.1, 1.1], "InvalidPredictionError"),
        (b"[" * 100_000, "InvalidPredictionError"),
    ],
)
def test_an_answer_that_is_no_prediction_has_a_name(classifier, endpoint, png, answer, error):
    answer_with(endpoint, answer, png)
    with pytest.raises(classifier.ClassifierError) as caught:
        classifier.lambda_handler(event(png), None)
    assert type(caught.value).__name__ == error


@pytest.mark.parametrize(
    ("code", "message", "status", "extra", "error"),
    [
        (
            "ValidationError",
            "Endpoint scones-endpoint of account 1 not found.",
            400,
            {},
            "EndpointNotFoundError",
        ),
        ("ValidationError", "ContentType is wrong.", 400, {}, "EndpointError"),
        ("AccessDeniedException", "no", 403, {}, "EndpointError"),
        ("ModelError", "bad image", 424, {"OriginalStatusCode": 400}, "NotAnImageError"),
        ("ModelError", "crashed", 424, {"OriginalStatusCode": 500}, "ServiceUnavailableError"),
        ("ModelNotReadyException", "wait", 429, {}, "ServiceUnavailableError"),
        ("ThrottlingException", "slow", 400, {}, "ServiceUnavailableError"),
        ("ServiceUnavailable", "down", 503, {}, "ServiceUnavailableError"),
        ("InternalFailure", "down", 500, {}, "ServiceUnavailableError"),
    ],
)
def test_what_the_endpoint_refuses_has_a_name(classifier, endpoint, png, code, message, status, extra, error):
    endpoint.add_client_error("invoke_endpoint", code, message, status, modeled_fields=extra or None)
    with pytest.raises(classifier.ClassifierError) as caught:
        classifier.lambda_handler(event(png), None)
    assert type(caught.value).__name__ == error


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"image_data": "###", "s3_bucket": BUCKET, "s3_key": KEY}, "InvalidEventError"),
        ({"image_data": "ä", "s3_bucket": BUCKET, "s3_key": KEY}, "InvalidEventError"),
        ({"image_data": 7, "s3_bucket": BUCKET, "s3_key": KEY}, "InvalidEventError"),
        ({"image_data": ""}, "InvalidEventError"),
        ({"image_data": "", "s3_bucket": "", "s3_key": ""}, "InvalidEventError"),
        ({"image_data": "", "s3_bucket": BUCKET, "s3_key": "missing"}, "ObjectNotFoundError"),
        ({"image_data": "dGV4dA==", "s3_bucket": BUCKET, "s3_key": KEY}, "NotAnImageError"),
    ],
)
def test_a_mistake_has_a_name(classifier, wrong, error):
    with pytest.raises(classifier.ClassifierError) as caught:
        classifier.lambda_handler(wrong, None)
    assert type(caught.value).__name__ == error


def test_an_object_over_what_an_endpoint_takes_is_refused(classifier, aws, png):
    aws.put_object(Bucket=BUCKET, Key="large.png", Body=png.ljust(6 * 1024 * 1024 + 1, b"\0"))
    with pytest.raises(classifier.ObjectTooLargeError):
        classifier.lambda_handler({"image_data": "", "s3_bucket": BUCKET, "s3_key": "large.png"}, None)


def test_without_an_endpoint_name_it_says_so(classifier, monkeypatch, png):
    monkeypatch.delenv("ENDPOINT_NAME")
    with pytest.raises(classifier.ConfigurationError, match="ENDPOINT_NAME"):
        classifier.lambda_handler(event(png), None)


def test_the_log_has_no_image(classifier, endpoint, png, capsys):
    answer_with(endpoint, [0.5, 0.5], png)
    classifier.lambda_handler({"body": event(png), "execution": "e-1"}, None)
    printed = capsys.readouterr().out
    assert event(png)["image_data"] not in printed
    assert json.loads(printed)["execution"] == "e-1"
