"""AccuracyTooLow: ends the execution as failed, and says by how much."""

from __future__ import annotations

from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline.steps.check_accuracy import measured_accuracy
from pipeline.steps.context import StepContext

NAME = "AccuracyTooLow"


def accuracy_too_low_step(context: StepContext, evaluate_model: ProcessingStep) -> FailStep:
    message = [
        "The model's accuracy of",
        measured_accuracy(evaluate_model),
        "is under the threshold of",
        context.parameters.accuracy_threshold,
        "so it was not registered",
    ]
    return FailStep(name=NAME, error_message=Join(on=" ", values=message))
