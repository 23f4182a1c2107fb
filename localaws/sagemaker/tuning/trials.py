"""A tuning job's training jobs as its document has them, and what follows from them: counters and the best.

`_Trials` is a list of what ListTrainingJobsForHyperParameterTuningJob answers, with members of our own:
`_Attempt`, from 1, and `_Repeated` once another training job has taken the same hyperparameters over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from localaws.documents import Document
from localaws.sagemaker.job_documents import ACTIVE
from localaws.sagemaker.jobs import INTERRUPTED
from localaws.sagemaker.tuning.search import Trial

_COUNTERS = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
_IMPROVEMENT = 0.01  # by how much of its size the best must improve to count (BestObjectiveNotImproving)


def active(document: Document) -> list[Document]:
    return [trial for trial in document["_Trials"] if trial["TrainingJobStatus"] in ACTIVE]


def counted(document: Document) -> list[Document]:
    """Those that take up room in MaxNumberOfTrainingJobs: all but those that are repeated."""
    return [trial for trial in document["_Trials"] if not trial.get("_Repeated")]


def value_of(trial: Document) -> float | None:
    metric = trial.get("FinalHyperParameterTuningJobObjectiveMetric")
    return metric["Value"] if metric else None


def maximizes(document: Document) -> bool:
    objective = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    return objective["Type"] == "Maximize"


def tried(document: Document) -> list[Trial]:
    """What a search is told."""
    return [
        Trial(trial["TunedHyperParameters"], value_of(trial))
        for trial in counted(document)
        if trial["TrainingJobStatus"] in ACTIVE or value_of(trial) is not None
    ]


def take_in(document: Document, trial: Document, training: Document) -> None:
    """Brings the trial up to its training job."""
    for member in ("TrainingJobStatus", "CreationTime", "TrainingStartTime", "TrainingEndTime"):
        if member in training:
            trial[member] = training[member]
    if trial["TrainingJobStatus"] in ACTIVE:
        return
    if training.get("FailureReason"):
        trial["FailureReason"] = training["FailureReason"]
    objective = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    metrics = {each["MetricName"]: each["Value"] for each in training.get("FinalMetricDataList") or []}
    value = metrics.get(objective["MetricName"])
    trial["ObjectiveStatus"] = "Failed"
    if value is not None and trial["TrainingJobStatus"] != "Failed":
        trial["ObjectiveStatus"] = "Succeeded"
        trial["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "MetricName": objective["MetricName"],
            "Value": value,
        }


def repeatable(document: Document) -> Document | None:
    """A trial that SageMaker's own fault ended, and that is to be tried again.

    What a restart of the local AWS interrupts is repeated however often; other faults as the definition's
    RetryStrategy says.
    """
    retries = document["TrainingJobDefinition"].get("RetryStrategy") or {}
    for trial in counted(document):
        reason = trial.get("FailureReason", "")
        more = trial["_Attempt"] <= retries.get("MaximumRetryAttempts", 0)
        if reason == INTERRUPTED or (reason.startswith("InternalServerError") and more):
            return trial
    return None


def best(document: Document) -> Document | None:
    """The completed training job with the best objective; the first of several equal ones."""
    sign = 1 if maximizes(document) else -1
    values = [
        (sign * value, trial)
        for trial in document["_Trials"]
        if trial["TrainingJobStatus"] == "Completed" and (value := value_of(trial)) is not None
    ]
    return max(values, key=lambda pair: pair[0])[1] if values else None


def not_improving(document: Document) -> int:
    """How many training jobs in a row, to the last that ended, did not better the best by 1% or more."""
    sign, found, count = 1 if maximizes(document) else -1, None, 0
    ended = [trial for trial in counted(document) if value_of(trial) is not None]
    for trial in sorted(ended, key=lambda trial: trial["TrainingEndTime"]):
        value = sign * (value_of(trial) or 0.0)
        if found is None or (value - found >= _IMPROVEMENT * abs(found) and value > found):
            found, count = value, 0
        else:
            count += 1
    return count


def summarise(document: Document) -> None:
    """Sets what Describe says of the training jobs."""
    document["TrainingJobStatusCounters"] = dict.fromkeys(_COUNTERS, 0) | Counter(_statuses(document))
    objectives = Counter(trial["ObjectiveStatus"] for trial in document["_Trials"])
    document["ObjectiveStatusCounters"] = {"Succeeded": 0, "Pending": 0, "Failed": 0} | objectives
    found = best(document)
    if found:
        document["BestTrainingJob"] = shown(found)
    document["TuningJobCompletionDetails"] = {
        "NumberOfTrainingJobsObjectiveNotImproving": not_improving(document)
    }


def _statuses(document: Document) -> Iterator[str]:
    for trial in document["_Trials"]:
        status = trial["TrainingJobStatus"]
        if status == "Failed":
            internal = trial.get("FailureReason", "").startswith("InternalServerError")
            status = "RetryableError" if internal else "NonRetryableError"
        yield "InProgress" if status == "Stopping" else status


def shown(trial: Document) -> Document:
    return {key: value for key, value in trial.items() if not key.startswith("_")}
