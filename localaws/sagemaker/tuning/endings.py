"""When a tuning job is over, and when one of its training jobs need not go on.

Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-progress.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-early-stopping.html
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

from localaws.documents import Document
from localaws.sagemaker.tuning import trials

_ATTEMPTS = 5  # training jobs that may come to nothing before the tuning job is given up
_JUDGES = 3  # completed training jobs before others are measured by them


def ending(document: Document, seconds: float) -> tuple[str, str] | None:
    """The status that the tuning job is to end with, and why if it failed; None: it is to go on.

    `seconds` are those since it began.
    """
    ended = [each for each in trials.counted(document) if each["TrainingJobStatus"] not in trials.ACTIVE]
    if not any(each["ObjectiveStatus"] == "Succeeded" for each in ended) and len(ended) >= _ATTEMPTS:
        return "Failed", _nothing(ended)
    if _satisfied(document) or seconds >= _limits(document).get("MaxRuntimeInSeconds", float("inf")):
        return _outcome(ended)
    if len(ended) >= document["_Budget"] and not trials.repeatable(document):
        return _outcome(ended)
    return None


def _outcome(ended: Sequence[Document]) -> tuple[str, str]:
    if any(each["ObjectiveStatus"] == "Succeeded" for each in ended):
        return "Completed", ""
    return "Failed", _nothing(ended)


def _nothing(ended: Sequence[Document]) -> str:
    """In SageMaker's words."""
    if ended and all(each["TrainingJobStatus"] == "Completed" for each in ended):
        return (
            f"No objective metrics found after running {len(ended)} training jobs. Please ensure that the "
            "custom algorithm is emitting the objective metric as defined by the regular expression provided."
        )
    if len(ended) >= _ATTEMPTS:
        return (
            f"No training job succeeded after {len(ended)} attempts. Please take a look at the training job "
            "failures to get more details."
        )
    return "All training jobs failed. Please take a look at the training job failures to get more details."


def _limits(document: Document) -> Document:
    limits: Document = document["HyperParameterTuningJobConfig"]["ResourceLimits"]
    return limits


def _satisfied(document: Document) -> bool:
    """Are the request's own completion criteria met?"""
    criteria = document["HyperParameterTuningJobConfig"].get("TuningJobCompletionCriteria") or {}
    target = criteria.get("TargetObjectiveMetricValue")
    best = trials.best(document)
    value = trials.value_of(best) if best else None
    if target is not None and value is not None:
        reached = value >= target if trials.maximizes(document) else value <= target
        if reached:
            return True
    most = (criteria.get("BestObjectiveNotImproving") or {}).get("MaxNumberOfTrainingJobsNotImproving")
    return most is not None and trials.not_improving(document) >= most


def is_hopeless(values: Sequence[float], others: Sequence[Sequence[float]], maximize: bool) -> bool:
    """The median rule: is the latest value worse than the median of the others' running averages?

    Args:
        values: the training job's objective, epoch by epoch.
        others: the same of those that completed; their averages are taken up to the same epoch.
    """
    epoch = len(values)
    if not epoch:
        return False
    averages = [fmean(other[:epoch]) for other in others if len(other) >= epoch]
    if len(averages) < _JUDGES:
        return False
    middle = median(averages)
    return values[-1] < middle if maximize else values[-1] > middle
