"""What a tuning job found: its training jobs, the best first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import runs
from pipeline.errors import is_missing

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.clients import Clients
    from pipeline.settings import Settings

RESOURCE = ":hyper-parameter-tuning-job/"
_WIDE = 100


class NoTuningJobError(Exception):
    """There is no such tuning job, or the execution has none."""


@dataclass(frozen=True)
class Trial:
    """One of the training jobs; `value` is its objective's, None while there is none."""

    job: str
    status: str
    value: float | None
    hyperparameters: dict[str, str]
    created: datetime
    seconds: float | None
    reason: str | None


@dataclass(frozen=True)
class Range:
    """Where a hyperparameter is searched. Where SageMaker chooses the scale, wide ranges are logarithmic."""

    low: float
    high: float
    logarithmic: bool


@dataclass(frozen=True)
class Tuned:
    """A tuning job as it is now.

    Attributes:
        objective: the metric's name.
        best: the name of the best training job so far.
        trials: in the order in which they were created.
        ranges: of the hyperparameters that are numbers.
    """

    name: str
    status: str
    strategy: str
    objective: str
    maximize: bool
    best: str | None
    trials: list[Trial]
    ranges: dict[str, Range]
    reason: str | None = None

    def ranked(self) -> list[Trial]:
        """The best first; those without a value last."""
        sign = -1 if self.maximize else 1
        return sorted(self.trials, key=lambda t: (t.value is None, sign * (t.value or 0.0)))

    def short(self, job: str) -> str:
        """The part of a training job's name that is its own."""
        return job.removeprefix(f"{self.name}-")

    def summary(self) -> str:
        """A sentence."""
        found = next((trial.value for trial in self.trials if trial.job == self.best), None)
        best = f", the best {self.objective} {found:.4g}" if found is not None else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.name} ({self.strategy}) {self.status}: {len(self.trials)} training jobs{best}{reason}"

    def rows(self) -> list[dict[str, Any]]:
        """A row a training job, the best first."""
        return [
            {"job": trial.job, "status": trial.status, self.objective: trial.value}
            | {name: json.loads(text) for name, text in trial.hyperparameters.items() if name in self.ranges}
            | {name: text for name, text in trial.hyperparameters.items() if name not in self.ranges}
            | {"seconds": trial.seconds, "reason": trial.reason}
            for trial in self.ranked()
        ]


def find(clients: Clients, settings: Settings, reference: str | None) -> str:
    """The name of the tuning job that is named, or of the one in the execution that is named, or the newest.

    Raises:
        NoTuningJobError: the execution has none.
    """
    if reference and RESOURCE in reference:
        return reference.rpartition("/")[2]
    if reference and "-" in reference and not reference.startswith("arn:"):
        return reference  # executions' ids have no dash
    arn = runs.resolve(clients, settings, reference)
    for step in runs.steps(clients("sagemaker"), arn):
        if step.made and RESOURCE in step.made:
            return step.made.rpartition("/")[2]
    raise NoTuningJobError(
        f"the execution {arn.rpartition('/')[2]} has no tuning job: it has not come to TuneModel yet, or was "
        "started without `tuning = true` and `scones pipeline upsert`"
    )


def describe(sagemaker: Any, name: str) -> Tuned:
    """The tuning job with all of its training jobs. Raises NoTuningJobError."""
    try:
        job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    except ClientError as error:
        if not is_missing(error):
            raise
        raise NoTuningJobError(f"there is no tuning job {name}: see `scones pipeline list`") from None
    config = job["HyperParameterTuningJobConfig"]
    objective = config["HyperParameterTuningJobObjective"]
    numbers = ("ContinuousParameterRanges", "IntegerParameterRanges")
    return Tuned(
        name=name,
        status=job["HyperParameterTuningJobStatus"],
        strategy=config["Strategy"],
        objective=objective["MetricName"],
        maximize=objective["Type"] == "Maximize",
        best=job.get("BestTrainingJob", {}).get("TrainingJobName"),
        trials=_trials(sagemaker, name),
        ranges={
            each["Name"]: _range(each)
            for member in numbers
            for each in config["ParameterRanges"].get(member, [])
        },
        reason=job.get("FailureReason"),
    )


def _range(given: dict[str, str]) -> Range:
    low, high = float(given["MinValue"]), float(given["MaxValue"])
    scaling = given.get("ScalingType", "Auto")
    chosen = scaling == "Auto" and low > 0 and high / low >= _WIDE
    return Range(low, high, scaling == "Logarithmic" or chosen)


def _trials(sagemaker: Any, name: str) -> list[Trial]:
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=name, SortBy="CreationTime", SortOrder="Ascending"
    )
    return [_trial(summary) for page in pages for summary in page["TrainingJobSummaries"]]


def _trial(summary: dict[str, Any]) -> Trial:
    start, end = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    reason = summary.get("FailureReason")
    return Trial(
        job=summary["TrainingJobName"],
        status=summary["TrainingJobStatus"],
        value=summary.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value"),
        hyperparameters=summary["TunedHyperParameters"],
        created=summary["CreationTime"],
        seconds=(end - start).total_seconds() if start and end else None,
        reason=" ".join(reason.split()) if reason else None,
    )
