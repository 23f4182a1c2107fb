"""Which tuning jobs are refused: by SageMaker, beyond its service model, and because it is not done here."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from localaws.documents import Document
from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.tuning.search import grid_size, read_space

_MOST_PARAMETERS = 30  # in all ranges together
_REVERSE = "ReverseLogarithmic"


def check(request: Document, own_metrics: Collection[str] = ()) -> None:
    """Raises ValidationError. `own_metrics` are those that the algorithm brings, as AWS's own ones do."""
    config = request["HyperParameterTuningJobConfig"]
    _check_what_is_not_done(request, config)
    definition = request.get("TrainingJobDefinition")
    if not definition:
        raise ValidationError("TrainingJobDefinition is missing: it says which training jobs to run.")
    ranges = config.get("ParameterRanges") or {}
    _check_ranges(ranges, definition.get("StaticHyperParameters") or {})
    _check_number_of_jobs(config, ranges)
    defined = definition["AlgorithmSpecification"].get("MetricDefinitions") or []
    _check_objective(config, [*(each["Name"] for each in defined), *own_metrics])
    if bool(definition.get("ResourceConfig")) == bool(definition.get("HyperParameterTuningResourceConfig")):
        raise ValidationError(
            "TrainingJobDefinition needs either ResourceConfig or HyperParameterTuningResourceConfig."
        )


def _check_what_is_not_done(request: Document, config: Document) -> None:
    here = "the local SageMaker"
    criteria = config.get("TuningJobCompletionCriteria") or {}
    convergence = (criteria.get("ConvergenceDetected") or {}).get("CompleteOnConvergence")
    refusals = {
        f"Strategy Hyperband: {here} searches by Bayesian, Random and Grid.": config["Strategy"]
        == "Hyperband",
        f"StrategyConfig: {here} has no Hyperband, which alone it is for.": config.get("StrategyConfig"),
        f"WarmStartConfig: {here} starts each tuning job afresh.": request.get("WarmStartConfig"),
        f"Autotune: {here} chooses no ranges; name them in ParameterRanges.": request.get("Autotune")
        or (config.get("ParameterRanges") or {}).get("AutoParameters"),
        f"TrainingJobDefinitions: {here} tunes one algorithm, in TrainingJobDefinition.": request.get(
            "TrainingJobDefinitions"
        ),
        f"ConvergenceDetected: {here} cannot tell convergence; use BestObjectiveNotImproving.": convergence
        == "Enabled",
    }
    for message, refused in refusals.items():
        if refused:
            raise ValidationError(message)


def _check_ranges(ranges: Document, static: Document) -> None:
    names = [each["Name"] for member in ranges.values() for each in member or []]
    if not names:
        raise ValidationError("ParameterRanges: at least one hyperparameter must have a range.")
    if len(names) > _MOST_PARAMETERS:
        raise ValidationError(f"ParameterRanges: {len(names)} hyperparameters; {_MOST_PARAMETERS} at most.")
    for name in names:
        if names.count(name) > 1:
            raise ValidationError(f"ParameterRanges: the hyperparameter {name!r} has more than one range.")
        if name in static:
            raise ValidationError(
                f"The hyperparameter {name!r} is in StaticHyperParameters and in ParameterRanges: "
                "it is either tuned or static."
            )
    for member, number in (("ContinuousParameterRanges", float), ("IntegerParameterRanges", int)):
        for each in ranges.get(member) or []:
            problem = next(_problems(each, number), None)
            if problem:
                raise ValidationError(f"The range of the hyperparameter {each['Name']!r}: {problem}.")


def _problems(each: Document, number: type) -> Iterator[str]:
    try:
        low, high = number(each["MinValue"]), number(each["MaxValue"])
    except ValueError:
        kind = "integers" if number is int else "numbers"
        yield f"MinValue {each['MinValue']!r} and MaxValue {each['MaxValue']!r} must be {kind}"
        return
    scaling = each.get("ScalingType")
    if not (math.isfinite(low) and math.isfinite(high)):
        yield "its ends must be finite"
    if low > high:
        yield f"MinValue {low} is greater than MaxValue {high}"
    if scaling == "Logarithmic" and low <= 0:
        yield "Logarithmic scaling works only for values greater than 0"
    if scaling == _REVERSE and number is int:
        yield "ReverseLogarithmic scaling works only for continuous hyperparameters"
    if scaling == _REVERSE and not 0 <= low <= high < 1:
        yield "ReverseLogarithmic scaling works only for values from 0 to under 1"


def _check_number_of_jobs(config: Document, ranges: Document) -> None:
    limit = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if config["Strategy"] != "Grid":
        if limit is None:
            raise ValidationError("ResourceLimits.MaxNumberOfTrainingJobs is missing.")
        return
    if ranges.get("ContinuousParameterRanges") or ranges.get("IntegerParameterRanges"):
        raise ValidationError("Strategy Grid takes categorical hyperparameters only.")
    size = grid_size(read_space(ranges))
    if limit not in (None, size):
        raise ValidationError(
            f"ResourceLimits.MaxNumberOfTrainingJobs {limit}: the grid has {size} combinations, and all are "
            "tried; leave it out."
        )


def _check_objective(config: Document, defined: list[str]) -> None:
    objective = config.get("HyperParameterTuningJobObjective")
    if not objective:
        raise ValidationError("HyperParameterTuningJobConfig.HyperParameterTuningJobObjective is missing.")
    if objective["MetricName"] not in defined:
        raise ValidationError(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the "
            f"metric definitions: {objective['MetricName']!r} is none of {', '.join(defined) or 'none'}."
        )
