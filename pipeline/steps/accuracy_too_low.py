"""AccuracyTooLow: ends the execution as failed, and says by how much.

It stands for both conditions of CheckAccuracy: SageMaker takes no condition step inside another.
"""

from __future__ import annotations

from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline.steps.context import StepContext
from pipeline.steps.evaluate_model import ACCURACY, measured

NAME = "AccuracyTooLow"


def accuracy_too_low_step(context: StepContext, evaluate_model: ProcessingStep) -> FailStep:
    message = [
        "The model was not registered. Its accuracy is ",
        measured(evaluate_model, ACCURACY),
        ", and AccuracyThreshold asks for ",
        context.parameters.accuracy_threshold,
        "; it is ",
        measured(evaluate_model, "comparison.accuracy_drop"),
        " under the approved model's, and MaxAccuracyDrop permits ",
        context.parameters.max_accuracy_drop,
        ": ",
        measured(evaluate_model, "comparison.summary"),
    ]
    return FailStep(name=NAME, error_message=Join(on="", values=message))
