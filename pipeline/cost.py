"""What an execution and a month of the endpoint cost on AWS, before anything starts.

An estimate from `prices.json`, whose date and source go with every answer. Jobs are billed by the second, so
their length is what is assumed; the rest is arithmetic.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pipeline import alarms, algorithms

if TYPE_CHECKING:
    from pipeline.settings import Settings

HOURS_A_MONTH = 730
# Assumed lengths in minutes: a SageMaker step of half a minute's work takes about eight with its start.
PROCESSING_MINUTES, TRAINING_MINUTES = 8, 15
# Of an image in the batch function, eight of which wait at a time, and of each function that takes one image.
BATCH_SECONDS, FUNCTION_SECONDS = 0.05, 0.1
LOGGED_KB = 0.7  # of an invocation: its own line, and Lambda's START, END and REPORT


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
    predicting = [("PredictValidation", settings.endpoint_instance_type, PROCESSING_MINUTES, 1)]
    for step, kind, minutes, jobs in (
        ("PrepareData", settings.processing_instance_type, PROCESSING_MINUTES, 1),
        ("FindApprovedModel", settings.processing_instance_type, PROCESSING_MINUTES, 1),
        (training[0], settings.training_instance_type, TRAINING_MINUTES, training[1]),
        *(predicting if settings.algorithm != algorithms.PYTORCH else []),
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
    lines = [Line("alarms", len(alarms.KINDS) * table["alarm_month"], f"{len(alarms.KINDS)} alarms")]
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


def in_batches(table: dict[str, Any], images: int, batch_size: int) -> list[Line]:
    """A run of so many images through the state machine for batches, beside the endpoint's own hours."""
    count = math.ceil(images / batch_size)
    function_seconds = images * BATCH_SECONDS
    memory = 0.0625  # GB, the smallest that EXPRESS executions are billed
    children = count * table["step_functions_express_request"]
    children += function_seconds * memory * table["step_functions_express_gb_second"]
    steps = (5 + count) * table["step_functions_transition"]
    invocations = count + 1
    gigabyte_seconds = function_seconds * 0.5 + (1 + images / 10_000)
    return [
        Line("state machine", steps, f"5 transitions, and one a batch of {batch_size}: {count:,}"),
        Line("EXPRESS children", children, f"{count:,}, {function_seconds:,.0f} s of 64 MB"),
        _functions(table, invocations, gigabyte_seconds, f"{BATCH_SECONDS} s an image, 512 MB"),
        _requests(table, images + count, 5),
        _logs(table, invocations),
    ]


def one_by_one(table: dict[str, Any], images: int) -> list[Line]:
    """The same images through the state machine for one."""
    return [
        Line("state machine", 4 * images * table["step_functions_transition"], "4 transitions an image"),
        _functions(
            table,
            3 * images,
            3 * images * FUNCTION_SECONDS * 0.25,
            f"3 functions an image of {FUNCTION_SECONDS} s, 256 MB",
        ),
        _requests(table, images, 0),
        _logs(table, 3 * images),
    ]


def total(lines: list[Line]) -> float:
    return sum(line.dollars for line in lines)


def dollars(amount: float) -> str:
    """Cents, or as much finer as a small amount needs."""
    if amount == 0 or amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount >= 0.001 else f"${amount:.7f}".rstrip("0")


def _functions(table: dict[str, Any], invocations: int, gigabyte_seconds: float, assumption: str) -> Line:
    amount = invocations * table["lambda_request"] + gigabyte_seconds * table["lambda_gb_second"]
    return Line("functions", amount, f"{invocations:,} invocations, {assumption}")


def _requests(table: dict[str, Any], reads: int, writes: int) -> Line:
    amount = reads * table["s3_get"] + writes * table["s3_put"]
    return Line("S3 requests", amount, f"{reads:,} reads, {writes} writes")


def _logs(table: dict[str, Any], invocations: int) -> Line:
    return Line("logs", invocations * LOGGED_KB / 1e6 * table["logs_gb"], f"{LOGGED_KB} KB an invocation")


def _hourly(table: dict[str, Any], kind: str) -> float:
    try:
        return float(table["instance_hour"][kind])
    except KeyError:
        known = ", ".join(table["instance_hour"])
        raise UnknownPriceError(
            f"pipeline/prices.json has no price of {kind}: add it from {table['source']} (known: {known})"
        ) from None
