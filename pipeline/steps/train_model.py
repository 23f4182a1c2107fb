"""TrainModel: script mode in the PyTorch container.

No `source_code` is given to the trainer: the SDK would put code and drivers under keys with timestamps, so
the definition would change at each build and nothing would ever be cached. The hyperparameters
`sagemaker_program` and `sagemaker_submit_directory` are the container toolkit's own contract for the same
(https://github.com/aws/sagemaker-training-toolkit).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sagemaker.core.training.configs import (
    Compute,
    InputData,
    MetricDefinition,
    Networking,
    OutputDataConfig,
    StoppingCondition,
)
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep
from sagemaker.train import ModelTrainer

from pipeline.steps.context import StepContext, job_retries
from pipeline.steps.prepare_data import PRETRAIN, output_uri

if TYPE_CHECKING:
    from pipeline.settings import Settings

NAME = "TrainModel"
# Where a container without a network finds its code: a channel, which SageMaker fills from outside.
CODE = "/opt/ml/input/data/code/sourcedir.tar.gz"
METRICS = (
    "train:loss",
    "train:accuracy",
    "validation:loss",
    "validation:accuracy",
    "heldout:accuracy",
    "heldout:loss",
)
NUMBER = "([0-9.]+)"


def hyperparameters(context: StepContext) -> dict[str, Any]:
    """The toolkit decodes each value as JSON: texts are quoted, numbers are written as they are."""
    settings, parameters = context.settings, context.parameters
    texts = {
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": CODE if settings.network_isolation else context.training.uri(settings),
        "sagemaker_region": settings.region,
        "classes": ",".join(settings.classes),
        "preset": settings.preset,
    }
    return {name: json.dumps(text) for name, text in texts.items()} | {
        "epochs": parameters.epochs.to_string(),
        "learning-rate": parameters.learning_rate.to_string(),
        "batch-size": parameters.batch_size.to_string(),
        "weight-decay": parameters.weight_decay.to_string(),
        "width": str(settings.width),
        "augmentation": str(settings.augmentation),
        "seed": str(settings.seed),
    }


def networking(settings: Settings) -> Networking | None:
    """The VPC, and whether the container sees any network; None where neither was asked for."""
    if not (settings.subnet_ids or settings.network_isolation):
        return None
    vpc = {
        "subnets": list(settings.subnet_ids),
        "security_group_ids": list(settings.security_group_ids),
    }
    return Networking(
        **(vpc if settings.subnet_ids else {}),
        enable_network_isolation=settings.network_isolation,
    )


def trainer(context: StepContext, step: str) -> ModelTrainer:
    """Trains with the settings' hyperparameters; its models go to the execution's folder for the step."""
    settings = context.settings
    return ModelTrainer(
        sagemaker_session=context.session,
        role=settings.role("training"),
        training_image=context.training_image(settings.training_instance_type),
        hyperparameters=hyperparameters(context),
        compute=Compute(
            instance_type=context.parameters.training_instance_type,
            instance_count=1,
            volume_size_in_gb=settings.volume_size_gb,
            **({"volume_kms_key_id": settings.kms_key_arn} if settings.kms_key_arn else {}),
        ),
        networking=networking(settings),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=settings.training_timeout_seconds),
        output_data_config=OutputDataConfig(
            s3_output_path=context.execution_uri(step),
            kms_key_id=settings.kms_key_arn or None,
            compression_type="GZIP",
        ),
    ).with_metric_definitions(
        [MetricDefinition(name=name, regex=f"{name}={NUMBER}") for name in METRICS],
    )


def channels(context: StepContext, prepare_data: ProcessingStep) -> list[InputData]:
    found = [
        InputData(channel_name=channel, data_source=output_uri(prepare_data, channel))
        for channel in ("train", "validation", *((PRETRAIN,) if context.settings.pretrain else ()))
    ]
    if context.settings.network_isolation:
        found.append(InputData(channel_name="code", data_source=context.training.uri(context.settings)))
    return found


def train_model_step(context: StepContext, prepare_data: ProcessingStep) -> TrainingStep:
    return TrainingStep(
        name=NAME,
        description="Trains the classifier from scratch; model.tar.gz carries its own serving code",
        step_args=trainer(context, NAME).train(input_data_config=channels(context, prepare_data)),
        cache_config=context.cache(),
        retry_policies=job_retries(),
    )
