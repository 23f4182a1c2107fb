"""What an endpoint saw: its captured records, beside what its model was made with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitoring.baseline import Baseline, Source
from monitoring.capture import CaptureError, Captures, NoLaterCaptureError, read_captures
from monitoring.limits import Limits
from monitoring.report import Report, Subject, write_report
from pipeline import alarms, endpoints, objects, predictions, thresholds

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.predictions import Deployed
    from pipeline.settings import Settings

# Requests of our own, which say nothing about what people send.
OUR_REQUESTS = (predictions.SMOKE_TEST, predictions.PROBE, predictions.EXPLANATION)


def captures(
    clients: Clients, settings: Settings, served: Deployed, since: datetime | None = None
) -> Captures:
    """The endpoint's records without our own, from `since` on.

    By default from the making of its config on: what was answered before came from another package, whose
    threshold and training data were others. After a rollback the config is an older one, and the records
    of the package that was left are among them.

    Raises:
        CaptureError: none has been captured in that time, but our own or what is no record.
    """
    classes = served.classes or settings.classes
    place = f"{endpoints.capture_uri(settings)}/{served.endpoint}/"
    from_then = since or served.at
    try:
        found = read_captures(place, s3=clients("s3"), classes=classes, since=from_then)
    except NoLaterCaptureError as error:
        if since:
            raise
        raise CaptureError(
            f"no record of {served.endpoint} is of the package that it serves now; --since takes earlier "
            f"ones ({error})"
        ) from None
    kept = found.without(OUR_REQUESTS)
    if kept.table.empty:
        asked = f"nobody has asked {served.endpoint} since {from_then:%Y-%m-%d %H:%M:%S %Z}"
        raise CaptureError(f"{asked} but this program, whose smoke test is left out")
    return kept


def answered_before(served: Deployed, found: Captures) -> int:
    """How many of the records are older than what the endpoint serves."""
    return int((found.table["time"] < served.at.replace(microsecond=0)).sum())


def last_hours(served: Deployed, hours: float) -> datetime:
    """So long ago, or when what the endpoint serves was configured, if that was later."""
    return max(datetime.now(UTC) - timedelta(hours=hours), served.at)


def wait_for_captures(
    clients: Clients, settings: Settings, served: Deployed, records: int, seconds: float = 120
) -> Captures:
    """The records once there are so many of them; those that there are when the time is up.

    SageMaker writes records some seconds to minutes after the request.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = captures(clients, settings, served)
        except CaptureError:
            if time.monotonic() > deadline:
                raise
        else:
            if len(found.table) >= records or time.monotonic() > deadline:
                return found
        time.sleep(settings.poll_seconds)


def report(
    clients: Clients,
    settings: Settings,
    served: Deployed,
    found: Captures,
    picture: Path,
    since: datetime | None = None,
) -> Report:
    """Draws `picture`, with its numbers beside it as JSON; `since` is what `captures` was given.

    Raises:
        ReportError: no record has an answer.
        BaselineError: the package's statistics or predictions are something else.
    """
    package, begin = served.package, since or served.at
    threshold = thresholds.of_setting(settings) or thresholds.of_deployed(served)
    return write_report(
        found,
        picture,
        threshold=threshold.value,
        baseline=baseline(clients("s3"), package, found.classes) if package else None,
        limits=Limits(settings.drift_psi, settings.drift_features),
        subject=Subject(served.endpoint, package["ModelPackageArn"] if package else None, begin.isoformat()),
    )


def baseline(s3: Any, package: dict[str, Any], classes: Sequence[str]) -> Baseline | None:
    """The statistics of a package's training data, and its answers to the validation images.

    `package` is DescribeModelPackage's answer. None without the statistics.
    """
    metrics = package.get("ModelMetrics", {})
    statistics = _source(s3, metrics.get("ModelDataQuality", {}).get("Statistics", {}).get("S3Uri"))
    evaluation = metrics.get("ModelQuality", {}).get("Statistics", {}).get("S3Uri")
    answers = _source(s3, f"{evaluation.rpartition('/')[0]}/predictions.jsonl") if evaluation else None
    return Baseline.read(statistics, answers, classes) if statistics else None


def _source(s3: Any, uri: str | None) -> Source | None:
    content = objects.read_if_there(s3, uri) if uri else None
    return Source(str(uri), content) if content is not None else None


def publish(cloudwatch: Any, endpoint: str, found: Report) -> bool:
    """Puts the report into CloudWatch's metrics, where the endpoint's drift alarm looks.

    False, and nothing, where no feature could be judged: neither drift nor its absence is known.
    """
    judged = [each for each in found.drift if each.verdict in ("drift", "not proven", "steady")]
    if not judged:
        return False
    of_endpoint = [{"Name": "EndpointName", "Value": endpoint}]
    metrics: list[dict[str, Any]] = [
        {
            "MetricName": "PopulationStabilityIndex",
            "Dimensions": [*of_endpoint, {"Name": "Feature", "Value": each.feature}],
            "Value": each.psi,
        }
        for each in judged
    ]
    for name, value in (
        (alarms.DRIFTED_FEATURES, len(found.drifted)),
        ("ShareUnderThreshold", found.under_threshold / found.answers),
    ):
        metrics.append({"MetricName": name, "Dimensions": of_endpoint, "Value": value})
    cloudwatch.put_metric_data(Namespace=alarms.MONITORING, MetricData=metrics)
    return True
