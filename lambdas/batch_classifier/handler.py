"""Batch classifier: what serializer, classifier and filter do with one image, for up to a hundred.

An image that cannot be classified has that in its result, and costs the others nothing. What is no image's
fault, such as an endpoint that is not there, is raised when it has met the whole batch.

Environment: that of the three (ALLOWED_PREFIX, ENDPOINT_NAME, THRESHOLD, THRESHOLD_MIN, THRESHOLD_MAX).
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lambdas.classifier import handler as classifier
from lambdas.confidence_filter import handler as confidence_filter
from lambdas.serializer import handler as serializer

# Keys of 1,024 bytes and results with longest messages for so many stay under a state's 262,144 bytes.
MAX_IMAGES = 100
MAX_ERROR = 300
THREADS = 8  # one image waits for S3 and the endpoint nearly all of its time
PAUSES = (0, 1, 4)  # seconds before each round with the images that were worth another try
# One image at worst, a call of S3 and one of the endpoint, and then what is done with the results.
LAST_SECONDS = 2 * classifier.CALL_SECONDS + 2

OUTCOMES = {
    "InvalidEventError": "InvalidEvent",
    "KeyNotAllowedError": "InvalidEvent",
    "ObjectNotFoundError": "ImageNotFound",
    "ObjectAccessError": "ImageNotFound",
    "NotAnImageError": "ImageRefused",
    "ObjectTooLargeError": "ImageRefused",
    "ServiceUnavailableError": "ServiceUnavailable",
}
EVERYBODYS = (classifier.ConfigurationError, classifier.EndpointNotFoundError)
NOBODYS = (classifier.EndpointError, classifier.InvalidPredictionError, classifier.ServiceUnavailableError)
Failure = classifier.ClassifierError | serializer.SerializerError


class BatchError(Exception):
    """Base of what this function raises itself."""


class InvalidBatchError(BatchError):
    """The event does not follow the contract."""


def lambda_handler(event: object, context: Any) -> list[dict]:
    """Returns `[{"s3_key", "predicted", "confidence", "outcome", "error"}]` in the order of the keys.

    `event` is `{"s3_bucket", "s3_keys", "classes", "threshold", "execution"}`; the last two may be null.
    Raises InvalidBatchError, the filter's InvalidEventError for a threshold out of bounds, and what met every
    image alike.
    """
    record: dict = {"function": "batch_classifier", "request_id": getattr(context, "aws_request_id", None)}
    try:
        batch = _batch(event)
        record |= {"execution": batch.get("execution"), "images": len(batch["s3_keys"])}
        needed = confidence_filter.threshold(batch)
        classifier.connect()
        found = _classify(batch, lambda: context.get_remaining_time_in_millis() / 1000)
    except (BatchError, confidence_filter.FilterError, classifier.ClassifierError) as error:
        _log("ERROR", str(error), error=type(error).__name__, **record)
        raise
    results = [_result(key, found[key], needed, batch["classes"]) for key in batch["s3_keys"]]
    for result in results:
        if result["error"]:
            _log("WARNING", result["error"], s3_key=result["s3_key"], outcome=result["outcome"], **record)
    outcomes = Counter(result["outcome"] for result in results)
    _log("INFO", "batch classified", outcomes=outcomes, **record)
    return results


def _batch(event: object) -> dict:
    if not isinstance(event, dict) or not isinstance(event.get("s3_bucket"), str):
        raise InvalidBatchError("The event must be an object with the name of a bucket in s3_bucket.")
    for name in ("s3_keys", "classes"):
        values = event.get(name)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise InvalidBatchError(f"{name} must be a list of texts.")
    if not 1 <= len(event["s3_keys"]) <= MAX_IMAGES:
        raise InvalidBatchError(f"s3_keys must hold 1 to {MAX_IMAGES} keys, not {len(event['s3_keys'])}.")
    return event


def _classify(batch: dict, seconds_left: Callable[[], float]) -> dict[str, list[float] | Failure]:
    """For each key its probabilities, or what went wrong."""

    def one(key: str) -> list[float] | Failure:
        if seconds_left() < LAST_SECONDS:
            return classifier.ServiceUnavailableError("The function's time was over before the image's turn.")
        try:
            bucket, key = serializer.location({"s3_bucket": batch["s3_bucket"], "s3_key": key})
            return classifier.classify(classifier.read(bucket, key))
        except EVERYBODYS:
            raise
        except (classifier.ClassifierError, serializer.SerializerError) as error:
            return error

    found: dict[str, list[float] | Failure] = {}
    left = list(dict.fromkeys(batch["s3_keys"]))
    with ThreadPoolExecutor(THREADS) as pool:
        for pause in PAUSES:
            time.sleep(pause)
            found |= zip(left, pool.map(one, left), strict=True)
            left = [key for key in left if isinstance(found[key], classifier.ServiceUnavailableError)]
            if not left or seconds_left() < LAST_SECONDS + max(PAUSES):
                break
    first = next(iter(found.values()))
    if isinstance(first, NOBODYS) and all(isinstance(value, NOBODYS) for value in found.values()):
        raise first
    return found


def _result(key: str, found: list[float] | Failure, needed: float, classes: list[str]) -> dict:
    if isinstance(found, Exception):
        name = type(found).__name__
        error = f"{name}: {found}"[:MAX_ERROR]
        return _line(key, outcome=OUTCOMES.get(name, name), error=error)
    confidence = max(found)
    place = found.index(confidence)
    predicted = classes[place] if place < len(classes) else f"class {place}"
    outcome = "ImageClassified" if confidence >= needed else "ThresholdNotMet"
    return _line(key, predicted, confidence, outcome)


def _line(
    key: str,
    predicted: str | None = None,
    confidence: float | None = None,
    outcome: str = "",
    error: str | None = None,
) -> dict:
    return {
        "s3_key": key,
        "predicted": predicted,
        "confidence": confidence,
        "outcome": outcome,
        "error": error,
    }


def _log(level: str, message: str, **fields: object) -> None:
    print(json.dumps({"level": level, "message": message} | fields))
