"""The pipeline's definition: PrepareData → TrainModel → EvaluateModel → CheckAccuracy → RegisterModel.

TuneModel stands in TrainModel's place where `tuning` is set. FindApprovedModel runs beside the first two.
With an algorithm other than our own, CreateModel and PredictValidation stand between training and evaluation.

Importing this module imports the SageMaker SDK, which takes two seconds: do it where a definition is wanted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline import algorithms
from pipeline.code import Code, processing_code, training_code
from pipeline.sdk import offline, pipeline_session
from pipeline.steps.accuracy_too_low import accuracy_too_low_step
from pipeline.steps.check_accuracy import check_accuracy_step
from pipeline.steps.context import StepContext
from pipeline.steps.evaluate_model import evaluate_model_step
from pipeline.steps.find_approved_model import find_approved_model_step
from pipeline.steps.parameters import get_parameters
from pipeline.steps.predict_validation import create_model_step, predict_validation_step
from pipeline.steps.prepare_data import prepare_data_step
from pipeline.steps.register_model import register_model_step
from pipeline.steps.train_model import train_model_step
from pipeline.steps.tune_model import tune_model_step

if TYPE_CHECKING:
    from sagemaker.mlops.workflow.model_step import ModelStep
    from sagemaker.mlops.workflow.pipeline import Pipeline
    from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep, TransformStep, TuningStep

    from pipeline.settings import Settings


def get_pipeline(
    settings: Settings, processing: Code | None = None, training: Code | None = None
) -> Pipeline:
    """The SDK's pipeline object, with the jobs' code as given or else of this checkout."""
    from sagemaker.mlops.workflow.pipeline import Pipeline

    context = StepContext(
        settings=settings,
        session=pipeline_session(settings),
        parameters=get_parameters(settings),
        processing=processing or processing_code(),
        training=training or training_code(),
    )
    prepare_data = prepare_data_step(context)
    train_model = (
        tune_model_step(context, prepare_data, settings.tuning)
        if settings.tuning
        else train_model_step(context, prepare_data)
    )
    predicting = _predicting_steps(context, prepare_data, train_model)
    predict_validation = predicting[-1] if predicting else None
    find_approved_model = find_approved_model_step(context)
    evaluate_model = evaluate_model_step(
        context, prepare_data, train_model, find_approved_model, predict_validation
    )
    register_model = register_model_step(context, prepare_data, train_model, evaluate_model)
    accuracy_too_low = accuracy_too_low_step(context, evaluate_model)
    check_accuracy = check_accuracy_step(context, evaluate_model, register_model, accuracy_too_low)
    return Pipeline(
        name=settings.pipeline_name,
        parameters=context.parameters.as_list(settings.tuning.ranges if settings.tuning else ()),
        steps=[prepare_data, find_approved_model, train_model, *predicting, evaluate_model, check_accuracy],
        sagemaker_session=context.session,
        # No experiment and trial are made beside each execution: the registry holds what was measured.
        pipeline_experiment_config=None,
    )


def _predicting_steps(
    context: StepContext, prepare_data: ProcessingStep, train_model: TrainingStep | TuningStep
) -> tuple[ModelStep, TransformStep] | tuple[()]:
    """The steps that ask a model which EvaluateModel cannot load."""
    if context.settings.algorithm == algorithms.PYTORCH:
        return ()
    create_model = create_model_step(context, train_model)
    return create_model, predict_validation_step(context, prepare_data, create_model)


def definition_json(settings: Settings, processing: Code | None = None, training: Code | None = None) -> str:
    """The definition as text, the same to the byte wherever sources and settings are the same."""
    with offline():
        definition = json.loads(get_pipeline(settings, processing, training).definition())
    return json.dumps(definition, indent=2, sort_keys=True) + "\n"
