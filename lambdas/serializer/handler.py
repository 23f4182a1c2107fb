"""Serializer: reads the image that an event names from S3 and puts it, base64-encoded, into the event.

An image too large to travel between Step Functions states keeps `image_data` empty: whoever needs the
bytes then reads the object itself.

Environment:
    ALLOWED_PREFIX: keys must start with it; every key may be read when it is not set.
    MAX_IMAGE_BYTES: larger objects are refused before they are read (6,291,456 when not set).
"""

import base64
import functools
import json
import os
import re
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# A state's output is limited to 262,144 bytes. Base64 makes 4 bytes of 3; what is left over is for the key
# (1,024 bytes, up to six times that when escaped), the inferences and Lambda's own fields around the payload.
MAX_INLINE_BYTES = 160 * 1024
MAX_IMAGE_BYTES = 6 * 1024 * 1024
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
SIGNATURE_BYTES = 12
TRANSIENT_CODES = {
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
}


class SerializerError(Exception):
    """Base of what this function raises on purpose."""


class ConfigurationError(SerializerError):
    """An environment variable has a value that cannot be used."""


class InvalidEventError(SerializerError):
    """The event does not follow the contract."""


class KeyNotAllowedError(InvalidEventError):
    """The key is outside the prefix that this function may read."""


class ObjectNotFoundError(SerializerError):
    """The bucket or the object does not exist."""


class ObjectAccessError(SerializerError):
    """S3 refuses to hand the object out."""


class ObjectTooLargeError(SerializerError):
    """The object is larger than an image may be."""


class NotAnImageError(SerializerError):
    """The object's bytes are of no image format."""


class ServiceUnavailableError(SerializerError):
    """S3 did not answer, or asked to slow down: worth another try."""


def lambda_handler(event: object, context: object) -> dict:
    """Returns `{"statusCode": 200, "body": {"image_data", "s3_bucket", "s3_key", "inferences": []}}`.

    Raises a subclass of SerializerError; its name is what Step Functions catches.
    """
    record: dict[str, Any] = {
        "function": "serializer",
        "request_id": getattr(context, "aws_request_id", None),
    }
    try:
        body, record["execution"] = _unwrap(event)
        bucket, key = location(body)
        record |= {"s3_bucket": bucket, "s3_key": key}
        image, size = _read_image(bucket, key)
    except SerializerError as error:
        _log("ERROR", str(error), error=type(error).__name__, **record)
        raise
    _log("INFO", "image read", bytes=size, inline=image is not None, **record)
    answer = {
        "image_data": base64.b64encode(image or b"").decode(),
        "s3_bucket": bucket,
        "s3_key": key,
        "inferences": [],
    }
    if "threshold" in body:
        answer["threshold"] = body["threshold"]
    return {"statusCode": 200, "body": answer}


@functools.cache
def _s3() -> Any:
    # One client a container. The timeouts leave room for a second attempt within the function's own.
    return boto3.client(
        "s3", config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2})
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
    return event, execution if isinstance(execution, str) else None


def location(body: dict) -> tuple[str, str]:
    """The bucket and the key that an event names. Raises InvalidEventError for what may not be read."""
    bucket, key = body.get("s3_bucket"), body.get("s3_key")
    if not isinstance(bucket, str) or not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        raise InvalidEventError("s3_bucket must be the name of a bucket.")
    if not isinstance(key, str) or not 1 <= len(key.encode(errors="replace")) <= 1024:
        raise InvalidEventError("s3_key must be text of 1 to 1,024 bytes.")
    # HTTP clients resolve dot segments, so that `allowed/../secret` would be read as `secret`.
    if not key.isprintable() or {".", ".."} & set(key.split("/")):
        raise InvalidEventError("s3_key must not hold control characters or the path segments `.` and `..`.")
    prefix = os.environ.get("ALLOWED_PREFIX", "")
    if not key.startswith(prefix):
        raise KeyNotAllowedError(
            f"s3_key must start with {prefix}, which is all that this workflow may read."
        )
    return bucket, key


def _read_image(bucket: str, key: str) -> tuple[bytes | None, int]:
    """The image and its size; None in place of an image that is too large to travel."""
    limit = _max_image_bytes()
    try:
        response = _s3().get_object(Bucket=bucket, Key=key)
        size = response["ContentLength"]
        if size > limit:
            raise ObjectTooLargeError(f"s3://{bucket}/{key} has {size:,} bytes; an image may have {limit:,}.")
        with response["Body"] as stream:
            start = stream.read(size if size <= MAX_INLINE_BYTES else SIGNATURE_BYTES)
    except ClientError as error:
        raise _named(error, bucket, key) from error
    except BotoCoreError as error:
        raise ServiceUnavailableError(f"S3 did not answer: {error}") from error
    if not _is_image(start):
        raise NotAnImageError(f"s3://{bucket}/{key} is no PNG, JPEG, GIF, BMP, TIFF or WebP image.")
    return (start if size <= MAX_INLINE_BYTES else None), size


def _max_image_bytes() -> int:
    text = os.environ.get("MAX_IMAGE_BYTES", str(MAX_IMAGE_BYTES))
    if not text.isdecimal() or not int(text):
        raise ConfigurationError(f"MAX_IMAGE_BYTES must be a number of bytes, not {text!r}.")
    return int(text)


def _is_image(start: bytes) -> bool:
    return start.startswith(SIGNATURES) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")


def _named(error: ClientError, bucket: str, key: str) -> SerializerError:
    code = error.response["Error"]["Code"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if code in ("NoSuchKey", "NoSuchBucket") or status == 404:
        return ObjectNotFoundError(f"s3://{bucket}/{key} does not exist.")
    if status >= 500 or code in TRANSIENT_CODES:
        return ServiceUnavailableError(f"S3 answered {code}.")
    return ObjectAccessError(f"S3 does not hand out s3://{bucket}/{key}: {code}.")


def _log(level: str, message: str, **fields: object) -> None:
    print(json.dumps({"level": level, "message": message} | fields))
