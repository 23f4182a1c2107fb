"""Classifier: sends the event's image to the SageMaker endpoint and puts its probabilities into the event.

An event whose `image_data` is empty names an image too large to travel: it is read from S3 here.

Environment:
    ENDPOINT_NAME: the endpoint to ask.
"""

import base64
import functools
import json
import math
import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

MAX_IMAGE_BYTES = 6 * 1024 * 1024
CONTENT_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
OTHER_SIGNATURES = (b"GIF8", b"BM", b"II*\0", b"MM\0*")
# The timeouts leave room for a second attempt within the function's own. A retry waits a second at most, and
# up to five more where the service asks for it: botocore's standard mode; its legacy one waits no longer.
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS, BACKOFF_SECONDS = 2, 10, 2, 6
# One call at worst: each attempt in full, and an answer that stalls once more on its way.
CALL_SECONDS = ATTEMPTS * (CONNECT_SECONDS + READ_SECONDS) + (ATTEMPTS - 1) * BACKOFF_SECONDS + READ_SECONDS
TRANSIENT_CODES = {
    "ModelNotReadyException",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
}


class ClassifierError(Exception):
    """Base of what this function raises on purpose."""


class ConfigurationError(ClassifierError):
    """An environment variable is missing."""


class InvalidEventError(ClassifierError):
    """The event does not follow the contract."""


class NotAnImageError(ClassifierError):
    """The bytes are of no image format, or the model cannot decode them."""


class ObjectNotFoundError(ClassifierError):
    """The bucket or the object does not exist (any more)."""


class ObjectAccessError(ClassifierError):
    """S3 refuses to hand the object out."""


class ObjectTooLargeError(ClassifierError):
    """The object is larger than an endpoint takes."""


class EndpointNotFoundError(ClassifierError):
    """There is no endpoint of that name."""


class EndpointError(ClassifierError):
    """The endpoint refuses the request."""


class InvalidPredictionError(ClassifierError):
    """The endpoint's answer is no list of probabilities."""


class ServiceUnavailableError(ClassifierError):
    """The endpoint or S3 did not answer, failed, or asked to slow down: worth another try."""


def lambda_handler(event: object, context: object) -> dict:
    """Returns `{"statusCode": 200, "body": …}`, the event with `inferences`, a float a class in [0, 1].

    Raises a subclass of ClassifierError; its name is what Step Functions catches.
    """
    record: dict = {"function": "classifier", "request_id": getattr(context, "aws_request_id", None)}
    try:
        body, record["execution"] = _unwrap(event)
        record |= {name: body[name] for name in ("s3_bucket", "s3_key")}
        image = _decode(body["image_data"]) or read(body["s3_bucket"], body["s3_key"])
        inferences = classify(image)
    except ClassifierError as error:
        _log("ERROR", str(error), error=type(error).__name__, **record)
        raise
    _log("INFO", "image classified", bytes=len(image), inferences=inferences, **record)
    return {"statusCode": 200, "body": body | {"inferences": inferences}}


def classify(image: bytes) -> list[float]:
    """The endpoint's probabilities, one a class."""
    return _probabilities(_invoke(image, _content_type(image)))


def connect() -> None:
    """Makes the clients, which threads may then share: making them is not thread-safe."""
    _client("s3")
    _client("sagemaker-runtime")


@functools.cache
def _client(service: str) -> Any:
    # One client a container.
    return boto3.client(
        service,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": ATTEMPTS},
        ),
    )


def _unwrap(event: object) -> tuple[dict, str | None]:
    """The contract's event, bare or in `body` (an object or JSON text), and the execution's name if given."""
    execution = event.get("execution") if isinstance(event, dict) else None
    while isinstance(event, str) or (isinstance(event, dict) and "body" in event):
        event = event["body"] if isinstance(event, dict) else event
        if isinstance(event, str):
            try:
                event = json.loads(event)
            except (ValueError, RecursionError) as error:
                raise InvalidEventError("The event's body is text, but not JSON.") from error
    if not isinstance(event, dict):
        raise InvalidEventError(f"The event must be an object, not {type(event).__name__}.")
    for name in ("image_data", "s3_bucket", "s3_key"):
        if not isinstance(event.get(name), str):
            raise InvalidEventError(f"{name} must be text.")
    return event, execution if isinstance(execution, str) else None


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidEventError("image_data is not base64.") from error


def read(bucket: str, key: str) -> bytes:
    """An object's bytes, as many as an endpoint takes at most."""
    where = f"s3://{bucket}/{key}"
    try:
        with _client("s3").get_object(Bucket=bucket, Key=key)["Body"] as stream:
            image = stream.read(MAX_IMAGE_BYTES + 1)
    except ClientError as error:
        code, status = _code_and_status(error)
        if code in ("NoSuchKey", "NoSuchBucket") or status == 404:
            raise ObjectNotFoundError(f"{where} does not exist.") from error
        if status >= 500 or code in TRANSIENT_CODES:
            raise ServiceUnavailableError(f"S3 answered {code}.") from error
        raise ObjectAccessError(f"S3 does not hand out {where}: {code}.") from error
    except ParamValidationError as error:
        raise InvalidEventError(f"{where} cannot be the address of an object.") from error
    except BotoCoreError as error:
        raise ServiceUnavailableError(f"S3 did not answer: {error}") from error
    if len(image) > MAX_IMAGE_BYTES:
        raise ObjectTooLargeError(f"{where} is larger than an endpoint takes ({MAX_IMAGE_BYTES:,} bytes).")
    return image


def _content_type(image: bytes) -> str:
    for signature, content_type in CONTENT_TYPES.items():
        if image.startswith(signature):
            return content_type
    if image.startswith(OTHER_SIGNATURES) or (image[:4] == b"RIFF" and image[8:12] == b"WEBP"):
        return "application/x-image"
    raise NotAnImageError("The bytes are of no PNG, JPEG, GIF, BMP, TIFF or WebP image.")


def _invoke(image: bytes, content_type: str) -> bytes:
    name = os.environ.get("ENDPOINT_NAME")
    if not name:
        raise ConfigurationError("ENDPOINT_NAME is not set.")
    try:
        response = _client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name, Body=image, ContentType=content_type, Accept="application/json"
        )
        return response["Body"].read()
    except ClientError as error:
        raise _named(error, name) from error
    except BotoCoreError as error:
        raise ServiceUnavailableError(f"Endpoint {name} did not answer: {error}") from error


def _named(error: ClientError, name: str) -> ClassifierError:
    code, status = _code_and_status(error)
    if code == "ModelError":
        original = int(str(error.response.get("OriginalStatusCode", 500)))
        if 400 <= original < 500:
            return NotAnImageError(f"The model behind endpoint {name} refuses the image ({original}).")
        return ServiceUnavailableError(f"The model behind endpoint {name} failed ({original}).")
    if status >= 500 or code in TRANSIENT_CODES:
        return ServiceUnavailableError(f"Endpoint {name} answered {code}.")
    if status == 404 or (code == "ValidationError" and "not found" in str(error).lower()):
        return EndpointNotFoundError(f"There is no endpoint {name}.")
    return EndpointError(f"Endpoint {name} refuses the request: {code}.")


def _probabilities(answer: bytes) -> list[float]:
    try:
        values = json.loads(answer)
        if not isinstance(values, list) or not values:
            raise ValueError(f"a {type(values).__name__}")
        values = [float(value) for value in values]
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidPredictionError("The endpoint's answer is no JSON list of numbers.") from error
    if not all(math.isfinite(value) and 0 <= value <= 1 for value in values):
        raise InvalidPredictionError("The endpoint's answer holds numbers that are no probabilities.")
    return values


def _code_and_status(error: ClientError) -> tuple[str, int]:
    return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]


def _log(level: str, message: str, **fields: object) -> None:
    print(json.dumps({"level": level, "message": message} | fields))
