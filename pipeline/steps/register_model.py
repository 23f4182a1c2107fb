"""RegisterModel: a version in the model package group, which waits for a person's approval."""

from __future__ import annotations

from typing import Any

from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.model_registry import create_model_package_from_containers
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep, TuningStep

from pipeline import algorithms
from pipeline.steps.context import StepContext, service_retries
from pipeline.steps.evaluate_model import measured
from pipeline.steps.prepare_data import STATISTICS, output_uri
from pipeline.steps.serving import container, recorded

NAME = "RegisterModel"
CONTENT_TYPES = ["image/png", "image/jpeg", "application/x-image"]
ARRAYS = "application/x-npy"  # of our own serving code alone
RESPONSE_TYPES = ["application/json"]
# What evaluation.json has as texts for the registry; `pipeline.thresholds` reads them.
THRESHOLD = ("confidence_threshold", "threshold_accuracy", "threshold_coverage")


def metadata(
    context: StepContext, prepare_data: ProcessingStep, evaluate_model: ProcessingStep
) -> dict[str, Any]:
    """Where the model comes from. Values may hold no comma, so classes are separated by spaces."""
    return {
        "classes": " ".join(context.settings.classes),
        "data_sha256": JsonGet(
            step_name=prepare_data.name, property_file=STATISTICS, json_path="source.sha256"
        ),
        "processing_code": context.processing.digest,
        # Of our own code where that trains, else the image with its version.
        "training_code": (
            context.training.digest
            if context.settings.algorithm == algorithms.PYTORCH
            else context.algorithm_image()
        ),
        "algorithm": context.settings.algorithm,
        "code_revision": context.parameters.code_revision,
    } | {key: measured(evaluate_model, f"recommended_threshold.metadata.{key}") for key in THRESHOLD}


def tuned_by(train_model: TrainingStep | TuningStep) -> dict[str, Any]:
    """The tuning job that found the model, if one did."""
    if isinstance(train_model, TrainingStep):
        return {}
    return {"tuning_job": train_model.properties.HyperParameterTuningJobName}


def register_model_step(
    context: StepContext,
    prepare_data: ProcessingStep,
    train_model: TrainingStep | TuningStep,
    evaluate_model: ProcessingStep,
) -> ModelStep:
    settings = context.settings
    arrays = [ARRAYS] if settings.algorithm == algorithms.PYTORCH else []
    evaluation = Join(on="/", values=[output_uri(evaluate_model, "evaluation"), "evaluation.json"])
    statistics = Join(on="/", values=[output_uri(prepare_data, "statistics"), "statistics.json"])
    metrics = ModelMetrics(
        model_statistics=MetricsSource(content_type="application/json", s3_uri=evaluation),
        model_data_statistics=MetricsSource(content_type="application/json", s3_uri=statistics),
    )
    registration = recorded(
        context.session,
        create_model_package_from_containers,
        containers=[container(context, train_model)],
        model_package_group_name=settings.model_package_group,
        content_types=[*CONTENT_TYPES, *arrays],
        response_types=RESPONSE_TYPES,
        inference_instances=[settings.endpoint_instance_type],
        transform_instances=[settings.endpoint_instance_type],
        approval_status=context.parameters.model_approval_status,
        model_metrics=metrics._to_request_dict(),
        customer_metadata_properties=metadata(context, prepare_data, evaluate_model) | tuned_by(train_model),
        domain="COMPUTER_VISION",
        task="IMAGE_CLASSIFICATION",
    )
    return ModelStep(
        name=NAME,
        description="Adds a version to the model package group",
        step_args=registration,
        retry_policies=[service_retries()],
    )
