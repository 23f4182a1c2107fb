"""What a step's job wrote, from CloudWatch Logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pipeline import runs
from pipeline.errors import is_missing

GROUPS = {
    "processing-job": "/aws/sagemaker/ProcessingJobs",
    "training-job": "/aws/sagemaker/TrainingJobs",
    "transform-job": "/aws/sagemaker/TransformJobs",
}
FOLLOW_SECONDS = 2.0


class NoLogError(Exception):
    """There is no such step, or it has no job whose log could be read."""


@dataclass(frozen=True)
class JobLog:
    """Of the job that a step ran.

    Attributes:
        group: the log group, in which the job's streams begin with its name.
    """

    step: str
    job: str
    group: str


def find(
    sagemaker: Any,
    execution: str,
    step: str | None = None,
    wait: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> JobLog:
    """As `of_step`, of an execution's steps; `wait` until there is such a job or the execution ends."""
    changes = runs.watch(sagemaker, execution, FOLLOW_SECONDS, sleep)
    while True:
        state, steps = next(changes)
        try:
            return of_step(steps, step)
        except NoLogError:
            if not wait or state.status in runs.TERMINAL:
                raise


def of_step(steps: Sequence[runs.StepState], name: str | None = None) -> JobLog:
    """The log of the step's job; without a name, of the step that failed, else runs, else came last.

    Raises:
        NoLogError: there is no such step, or it ran no job.
    """
    if name is None:
        with_jobs = [step for step in steps if _log(step)]
        failed = [step for step in with_jobs if step.status == "Failed"]
        running = [step for step in with_jobs if step.ended is None]
        if not with_jobs:
            raise NoLogError("no step of the execution has run a job yet")
        return _of((failed or running or with_jobs)[-1])
    found = next((step for step in steps if step.name == name), None)
    if found is None:
        known = ", ".join(step.name for step in steps) or "none"
        raise NoLogError(f"the execution has not reached a step {name}; it has reached {known}")
    return _of(found)


def _of(step: runs.StepState) -> JobLog:
    log = _log(step)
    if log:
        return log
    if ":hyper-parameter-tuning-job/" in (step.made or ""):
        raise NoLogError(f"{step.name} ran many training jobs: `scones pipeline tuning` lists them")
    raise NoLogError(f"{step.name} ({step.status}) has no job whose log could be read")


def _log(step: runs.StepState) -> JobLog | None:
    kind, _, job = (step.made or "").rpartition(":")[2].partition("/")
    return JobLog(step.name, job, GROUPS[kind]) if kind in GROUPS else None


def lines(
    logs: Any, log: JobLog, more: Callable[[], bool], sleep: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """What the job wrote, instance by instance, and then what it writes for as long as `more` is true.

    Where there are several instances, each line begins with its own.
    """
    tokens: dict[str, str] = {}
    while True:
        going = more()  # asked first, so that what came just before the end is read
        streams = _streams(logs, log)
        for stream in streams:
            instance = f"{stream.rpartition('/')[2]}: " if len(streams) > 1 else ""
            for message in _new_messages(logs, log, stream, tokens):
                yield instance + message
        if not going:
            return
        sleep(FOLLOW_SECONDS)


def _streams(logs: Any, log: JobLog) -> list[str]:
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=log.group, logStreamNamePrefix=f"{log.job}/"
    )
    try:
        return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    except ClientError as error:
        if is_missing(error):  # no job has written to the group yet
            return []
        raise


def _new_messages(logs: Any, log: JobLog, stream: str, tokens: dict[str, str]) -> Iterator[str]:
    """Since the token, up to the end: there the next token is the same again."""
    while True:
        token = tokens.get(stream)
        since: dict[str, Any] = {"nextToken": token} if token else {"startFromHead": True}
        page = logs.get_log_events(logGroupName=log.group, logStreamName=stream, **since)
        yield from (event["message"] for event in page["events"])
        tokens[stream] = page["nextForwardToken"]
        if tokens[stream] == token:
            return
