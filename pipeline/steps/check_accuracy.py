"""CheckAccuracy: the gate before the registry."""

from __future__ import annotations

from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo, ConditionLessThanOrEqualTo
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline.steps.context import StepContext
from pipeline.steps.evaluate_model import ACCURACY, measured

NAME = "CheckAccuracy"


def check_accuracy_step(
    context: StepContext,
    evaluate_model: ProcessingStep,
    register_model: ModelStep,
    accuracy_too_low: FailStep,
) -> ConditionStep:
    return ConditionStep(
        name=NAME,
        description="Only a model accurate enough, and not worse than the approved one, is registered",
        conditions=[
            ConditionGreaterThanOrEqualTo(
                left=measured(evaluate_model, ACCURACY), right=context.parameters.accuracy_threshold
            ),
            ConditionLessThanOrEqualTo(
                left=measured(evaluate_model, "comparison.accuracy_drop"),
                right=context.parameters.max_accuracy_drop,
            ),
        ],
        if_steps=[register_model],
        else_steps=[accuracy_too_low],
    )
