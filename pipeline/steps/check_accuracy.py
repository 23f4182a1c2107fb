"""CheckAccuracy: the gate before the registry."""

from __future__ import annotations

from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.functions import JsonGet
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline.steps.context import StepContext
from pipeline.steps.evaluate_model import ACCURACY, EVALUATION

NAME = "CheckAccuracy"


def measured_accuracy(evaluate_model: ProcessingStep) -> JsonGet:
    """The accuracy in evaluation.json, read when the execution gets there."""
    return JsonGet(step_name=evaluate_model.name, property_file=EVALUATION, json_path=ACCURACY)


def check_accuracy_step(
    context: StepContext,
    evaluate_model: ProcessingStep,
    register_model: ModelStep,
    accuracy_too_low: FailStep,
) -> ConditionStep:
    return ConditionStep(
        name=NAME,
        description="Only a model that is accurate enough reaches the registry",
        conditions=[
            ConditionGreaterThanOrEqualTo(
                left=measured_accuracy(evaluate_model), right=context.parameters.accuracy_threshold
            )
        ],
        if_steps=[register_model],
        else_steps=[accuracy_too_low],
    )
