"""Batch results: one file of JSON lines, a line an image, of what a distributed map wrote about its batches.

The folder of a batch run holds `manifest.json` (a list of batches, `{"s3_keys": […]}`) and, under
`results/`, what the map's ResultWriter left; `results.jsonl` is put beside them, in the manifest's order.
An image of a batch that failed as a whole has the batch's error; one whose batch was never begun is
NotClassified.
"""

import contextlib
import functools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

GOOD = ("ImageClassified", "ThresholdNotMet")
MAX_ERROR = 300
CONTENT_TYPE = "application/jsonl"
TRANSIENT_CODES = {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException"}
# A batch fails by the names of its function's errors: they mean to each of its images what they mean to one.
OUTCOMES = {
    "EndpointNotFoundError": "EndpointNotFound",
    "InvalidEventError": "InvalidEvent",
    "ServiceUnavailableError": "ServiceUnavailable",
}


class ResultsError(Exception):
    """Base of what this function raises on purpose."""


class InvalidEventError(ResultsError):
    """The event does not follow the contract."""


class ManifestError(ResultsError):
    """The manifest is not there, or is no list of batches."""


class AccessError(ResultsError):
    """S3 refuses what this function needs."""


class ServiceUnavailableError(ResultsError):
    """S3 did not answer, or asked to slow down: worth another try."""


def lambda_handler(event: object, context: object) -> dict:
    """Returns `{"s3_bucket", "s3_key", "images", "failed", "outcomes": {outcome: images}}`.

    `event` is `{"s3_bucket", "folder", "execution"}`, the folder with a slash at its end. An image failed
    when it has neither been classified nor found under the threshold.
    """
    record: dict = {"function": "batch_results", "request_id": getattr(context, "aws_request_id", None)}
    try:
        bucket, folder, record["execution"] = _unwrap(event)
        record |= {"s3_bucket": bucket, "folder": folder}
        with _named_errors():
            lines, outcomes = _merge(bucket, folder)
            body = "".join(lines).encode()
            _s3().put_object(Bucket=bucket, Key=f"{folder}results.jsonl", Body=body, ContentType=CONTENT_TYPE)
    except ResultsError as error:
        _log("ERROR", str(error), error=type(error).__name__, **record)
        raise
    failed = sum(images for outcome, images in outcomes.items() if outcome not in GOOD)
    _log("INFO", "results written", outcomes=outcomes, **record)
    return {
        "s3_bucket": bucket,
        "s3_key": f"{folder}results.jsonl",
        "images": len(lines),
        "failed": failed,
        "outcomes": outcomes,
    }


@contextlib.contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status >= 500 or code in TRANSIENT_CODES:
            raise ServiceUnavailableError(f"S3 answered {code}.") from error
        raise AccessError(f"S3 refuses {error.operation_name}: {code}.") from error
    except BotoCoreError as error:
        raise ServiceUnavailableError(f"S3 did not answer: {error}") from error


@functools.cache
def _s3() -> Any:
    # One client a container.
    return boto3.client(
        "s3", config=Config(connect_timeout=2, read_timeout=30, retries={"total_max_attempts": 4})
    )


def _unwrap(event: object) -> tuple[str, str, str | None]:
    if not isinstance(event, dict):
        raise InvalidEventError(f"The event must be an object, not {type(event).__name__}.")
    bucket, folder, execution = event.get("s3_bucket"), event.get("folder"), event.get("execution")
    if not isinstance(bucket, str) or not isinstance(folder, str) or not folder.endswith("/"):
        raise InvalidEventError("s3_bucket and folder must be text, and folder end in a slash.")
    return bucket, folder, execution if isinstance(execution, str) else None


def _merge(bucket: str, folder: str) -> tuple[list[str], dict[str, int]]:
    """A line an image in the manifest's order, and how often each outcome is among them."""
    found = {result["s3_key"]: result for result in _results(bucket, folder)}
    lines, outcomes = [], Counter[str]()
    for batch in _manifest(bucket, f"{folder}manifest.json"):
        for key in batch:
            result = found.get(key) or _failed(key, "NotClassified", None)
            outcomes[result["outcome"]] += 1
            lines.append(json.dumps(result, ensure_ascii=False) + "\n")
    return lines, dict(outcomes)


def _manifest(bucket: str, key: str) -> list[list[str]]:
    try:
        return [batch["s3_keys"] for batch in _get(bucket, key)]
    except (TypeError, KeyError) as error:
        raise ManifestError(f"s3://{bucket}/{key} is no list of batches.") from error


def _results(bucket: str, folder: str) -> Iterator[dict]:
    """What is known of images, from each of the map's files: the newest last, where it was run again."""
    pages = _s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}results/")
    objects = [item for page in pages for item in page.get("Contents", [])]
    for item in sorted(objects, key=lambda item: item["LastModified"]):
        name = item["Key"].rpartition("/")[2]
        if name.startswith("SUCCEEDED_"):
            for child in _get(bucket, item["Key"]):
                yield from json.loads(child["Output"])
        elif name.startswith("FAILED_"):
            for child in _get(bucket, item["Key"]):
                yield from _of_failed(child)


def _of_failed(child: dict) -> Iterator[dict]:
    name = child.get("Error") or child["Status"]
    cause = child.get("Cause") or ""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        cause = json.loads(cause)["errorMessage"]  # what Lambda makes of an exception
    for key in json.loads(child["Input"])["s3_keys"]:
        yield _failed(key, OUTCOMES.get(name, name), f"{name}: {cause}"[:MAX_ERROR])


def _failed(key: str, outcome: str, error: str | None) -> dict:
    return {"s3_key": key, "predicted": None, "confidence": None, "outcome": outcome, "error": error}


def _get(bucket: str, key: str) -> Any:
    try:
        with _s3().get_object(Bucket=bucket, Key=key)["Body"] as stream:
            return json.load(stream)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        raise ManifestError(f"s3://{bucket}/{key} is not there.") from error


def _log(level: str, message: str, **fields: object) -> None:
    print(json.dumps({"level": level, "message": message} | fields))
