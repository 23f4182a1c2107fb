"""What an execution and a month of the endpoint cost on AWS, before anything starts.

An estimate from `prices.json`, whose date and source go with every answer. Jobs are billed by the second, so
their length is what is assumed; the rest is arithmetic.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.settings import Settings

HOURS_A_MONTH = 730
# Assumed lengths in minutes: a SageMaker step of half a minute's work takes about eight with its start.
PROCESSING_MINUTES, TRAINING_MINUTES = 8, 15


class UnknownPriceError(Exception):
    """The table has no such instance type."""


@dataclass(frozen=True)
class Line:
    """One row of the estimate. `dollars` is its middle case; `assumption` says what it rests on."""

    what: str
    dollars: float
    assumption: str


def prices() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(files("pipeline").joinpath("prices.json").read_text(encoding="utf-8"))
    return table


def execution(settings: Settings, table: dict[str, Any]) -> list[Line]:
    """One execution of the pipeline, nothing from the cache."""
    volume = settings.volume_size_gb * table["storage_gb_month"] / HOURS_A_MONTH
    lines = []
    training = ("TuneModel", settings.tuning.max_jobs) if settings.tuning else ("TrainModel", 1)
    for step, kind, minutes, jobs in (
        ("PrepareData", settings.processing_instance_type, PROCESSING_MINUTES, 1),
        ("FindApprovedModel", settings.processing_instance_type, PROCESSING_MINUTES, 1),
        (training[0], settings.training_instance_type, TRAINING_MINUTES, training[1]),
        ("EvaluateModel", settings.processing_instance_type, PROCESSING_MINUTES, 1),
    ):
        dollars = (_hourly(table, kind) + volume) * minutes / 60 * jobs
        count = f"{jobs} training jobs, each " if jobs > 1 else ""
        assumption = f"{count}{minutes} minutes of one {kind}, {settings.volume_size_gb} GB"
        lines.append(Line(step, dollars, assumption))
    return lines


def endpoint_month(settings: Settings, table: dict[str, Any], invocations: int) -> list[Line]:
    """A month of the environment's endpoint with so many invocations a month."""
    hosting = settings.hosting
    lines = [Line("alarms", 4 * table["alarm_month"], "4 alarms")]
    if hosting.serverless:
        seconds, memory = invocations * 0.1, hosting.serverless_memory_mb / 1024
        dollars = seconds * memory * table["serverless_gb_second"]
        return [Line("serverless", dollars, f"{invocations:,} invocations of 0.1 s, {memory:g} GB"), *lines]
    kind = hosting.instance_type or settings.endpoint_instance_type
    hourly = _hourly(table, kind)
    span = f"{hosting.min_instances} of {kind} for {HOURS_A_MONTH} hours"
    if hosting.max_instances > hosting.min_instances:
        most = hosting.max_instances * hourly * HOURS_A_MONTH
        span += f"; ${most:,.2f} if all {hosting.max_instances} always ran"
    gigabytes = invocations * 4e3 / 1e9
    captured = gigabytes * table["s3_gb_month"] * hosting.capture_percent / 100
    return [
        Line("instances", hosting.min_instances * hourly * HOURS_A_MONTH, span),
        Line("data capture", captured, f"{invocations:,} invocations of 4 KB on S3, their first month"),
        *lines,
    ]


def _hourly(table: dict[str, Any], kind: str) -> float:
    try:
        return float(table["instance_hour"][kind])
    except KeyError:
        known = ", ".join(table["instance_hour"])
        raise UnknownPriceError(
            f"pipeline/prices.json has no price of {kind}: add it from {table['source']} (known: {known})"
        ) from None
