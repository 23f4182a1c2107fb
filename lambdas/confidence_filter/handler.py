"""Confidence filter: lets an event through when its highest probability is at least the threshold.

Environment:
    THRESHOLD: the threshold, in [0, 1].
    THRESHOLD_MIN, THRESHOLD_MAX: the bounds within which an event's own `threshold` may lie (0 and 1 when
        not set).
"""

import json
import math
import os


class FilterError(Exception):
    """Base of what this function raises on purpose."""


class ConfigurationError(FilterError):
    """An environment variable is missing or has a value that cannot be used."""


class InvalidEventError(FilterError):
    """The event does not follow the contract."""


class ThresholdNotMet(FilterError):  # noqa: N818 - the contract's name: state machines catch it by this
    """No class is as probable as the threshold asks."""


def lambda_handler(event: object, context: object) -> dict:
    """Returns `{"statusCode": 200, "body": event}` when `max(inferences) >= threshold`.

    Raises ThresholdNotMet otherwise, or another subclass of FilterError; Step Functions catches the name.
    """
    record: dict = {"function": "confidence_filter", "request_id": getattr(context, "aws_request_id", None)}
    try:
        body, record["execution"] = _unwrap(event)
        record["s3_key"] = body.get("s3_key") if isinstance(body.get("s3_key"), str) else None
        record["confidence"] = confidence = _confidence(body)
        record["threshold"] = needed = threshold(body)
        if confidence < needed:
            raise ThresholdNotMet("THRESHOLD_CONFIDENCE_NOT_MET")
    except FilterError as error:
        level = "WARNING" if isinstance(error, ThresholdNotMet) else "ERROR"
        _log(level, str(error), error=type(error).__name__, **record)
        raise
    _log("INFO", "threshold met", **record)
    return {"statusCode": 200, "body": body}


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


def _confidence(body: dict) -> float:
    inferences = body.get("inferences")
    if not isinstance(inferences, list) or not inferences:
        raise InvalidEventError("inferences must be a list of probabilities, one a class.")
    if not all(_is_probability(value) for value in inferences):
        raise InvalidEventError("inferences must hold numbers from 0 to 1 only.")
    return max(inferences)


def threshold(body: dict) -> float:
    """The confidence that an event's image needs: the event's own threshold or the configured one."""
    configured = _from_environment("THRESHOLD", None)
    if body.get("threshold") is None:
        return configured
    low, high = _from_environment("THRESHOLD_MIN", "0"), _from_environment("THRESHOLD_MAX", "1")
    if not _is_probability(body["threshold"]) or not low <= body["threshold"] <= high:
        raise InvalidEventError(f"threshold must be a number from {low} to {high}.")
    return body["threshold"]


def _from_environment(name: str, default: str | None) -> float:
    text = os.environ.get(name, default)
    if text is None:
        raise ConfigurationError(f"{name} is not set.")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not _is_probability(value):
        raise ConfigurationError(f"{name} must be a number from 0 to 1, not {text!r}.")
    return value


def _is_probability(value: object) -> bool:
    # bool is a kind of int in Python; nan is neither above nor below anything.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _log(level: str, message: str, **fields: object) -> None:
    print(json.dumps({"level": level, "message": message} | fields))
