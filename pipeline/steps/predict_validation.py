"""CreateModel and PredictValidation: a batch transform asks the trained model for each validation image.

Only for models whose container is not ours: those that our training wrote are asked by EvaluateModel itself.
"""

from __future__ import annotations

from sagemaker.core.transformer import Transformer
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep, TransformStep, TuningStep

from pipeline.steps.context import StepContext, job_retries, service_retries
from pipeline.steps.prepare_data import IMAGES, output_uri
from pipeline.steps.serving import container, recorded

CREATE_MODEL = "CreateModel"
NAME = "PredictValidation"
CONTENT_TYPE = "image/png"


def create_model_step(context: StepContext, train_model: TrainingStep | TuningStep) -> ModelStep:
    settings = context.settings
    network = settings.model_network
    request = recorded(
        context.session,
        PipelineSession.create_model,
        name=CREATE_MODEL,  # the pipeline gives another
        role=settings.role("model"),
        container_defs=container(context, train_model),
        vpc_config=network.get("VpcConfig"),
        enable_network_isolation=network["EnableNetworkIsolation"],
    )
    return ModelStep(
        name=CREATE_MODEL,
        description="A model to ask about the validation images; registered ones are made anew",
        step_args=request,
        retry_policies=[service_retries()],
    )


def predict_validation_step(
    context: StepContext, prepare_data: ProcessingStep, create_model: ModelStep
) -> TransformStep:
    """Not cached: the model's name is another in each execution."""
    settings = context.settings
    transformer = Transformer(
        model_name=create_model.properties.ModelName,
        instance_count=1,
        instance_type=settings.endpoint_instance_type,
        output_path=context.execution_uri(NAME),
        output_kms_key=settings.kms_key_arn or None,
        volume_kms_key=settings.kms_key_arn or None,
        accept="application/json",
        sagemaker_session=context.session,
    )
    return TransformStep(
        name=NAME,
        description="The trained model's answer to each validation image",
        step_args=transformer.transform(
            data=output_uri(prepare_data, IMAGES), content_type=CONTENT_TYPE, split_type="None"
        ),
        retry_policies=job_retries(),
    )
