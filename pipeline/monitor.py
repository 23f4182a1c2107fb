"""What an endpoint saw: its captured records, beside the data that its model was trained on."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitoring.capture import CaptureError, Captures, read_captures
from monitoring.report import Report, write_report
from pipeline import endpoints, objects, predictions, thresholds

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

# Requests of our own, which say nothing about what people send.
OUR_REQUESTS = (predictions.SMOKE_TEST, predictions.PROBE, predictions.EXPLANATION)


def captures(clients: Clients, settings: Settings, endpoint: str, since: datetime | None = None) -> Captures:
    """The endpoint's records without our own, from `since` on.

    By default from the making of its config on: what was answered before came from another package, whose
    threshold and training data were others. After a rollback the config is an older one, and the records
    of the package that was left are among them.

    Raises:
        CaptureError: none has been captured yet.
    """
    sagemaker = clients("sagemaker")
    classes = predictions.deployed_classes(sagemaker, endpoint) or settings.classes
    place = f"{endpoints.capture_uri(settings)}/{endpoint}/"
    found = read_captures(place, s3=clients("s3"), classes=classes).without(OUR_REQUESTS)
    kept = found.since(since or predictions.deployed_at(sagemaker, endpoint))
    if len(found.table) and not len(kept.table):
        raise CaptureError(
            f"none of the {len(found.table):,} records of {endpoint} is of the package that it serves now; "
            "--since takes earlier ones"
        )
    return kept


def wait_for_captures(
    clients: Clients, settings: Settings, endpoint: str, records: int, seconds: float = 120
) -> Captures:
    """The records once there are so many of them; those that there are when the time is up.

    SageMaker writes records some seconds to minutes after the request.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = captures(clients, settings, endpoint)
        except CaptureError:
            if time.monotonic() > deadline:
                raise
        else:
            if len(found.table) >= records or time.monotonic() > deadline:
                return found
        time.sleep(settings.poll_seconds)


def report(clients: Clients, settings: Settings, endpoint: str, found: Captures, picture: Path) -> Report:
    """Draws `picture`, with its numbers beside it as JSON.

    Raises:
        ReportError: no record has an answer.
    """
    statistics = training_statistics(clients, endpoint)
    threshold = thresholds.of_endpoint(clients("sagemaker"), settings, endpoint).value
    return write_report(found, picture, threshold=threshold, statistics=statistics)


def training_statistics(clients: Clients, endpoint: str) -> dict[str, Any] | None:
    """statistics.json of the data behind the deployed package, None if it is gone or never was."""
    package = predictions.deployed_package(clients("sagemaker"), endpoint) or {}
    quality = package.get("ModelMetrics", {}).get("ModelDataQuality", {})
    uri = quality.get("Statistics", {}).get("S3Uri")
    content = objects.read_if_there(clients("s3"), uri) if uri else None
    return json.loads(content) if content else None
