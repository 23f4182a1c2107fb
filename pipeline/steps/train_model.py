"""TrainModel: script mode in the PyTorch container.

No `source_code` is given to the trainer: the SDK would put code and drivers under keys with timestamps, so
the definition would change at each build and nothing would ever be cached. The hyperparameters
`sagemaker_program` and `sagemaker_submit_directory` are the container toolkit's own contract for the same
(https://github.com/aws/sagemaker-training-toolkit).
"""

from __future__ import annotations

import json
from typing import Any

from sagemaker.core.training.configs import (
    Compute,
    InputData,
    MetricDefinition,
    OutputDataConfig,
    StoppingCondition,
)
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep
from sagemaker.train import ModelTrainer

from pipeline.steps.context import StepContext, job_retries
from pipeline.steps.prepare_data import output_uri

NAME = "TrainModel"
METRICS = ("train:loss", "train:accuracy", "validation:loss", "validation:accuracy")


def hyperparameters(context: StepContext) -> dict[str, Any]:
    """The toolkit decodes each value as JSON: texts are quoted, numbers are written as they are."""
    settings, parameters = context.settings, context.parameters
    texts = {
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": context.training.uri(settings),
        "sagemaker_region": settings.region,
        "classes": ",".join(settings.classes),
        "preset": settings.preset,
    }
    return {name: json.dumps(text) for name, text in texts.items()} | {
        "epochs": parameters.epochs.to_string(),
        "learning-rate": parameters.learning_rate.to_string(),
        "batch-size": parameters.batch_size.to_string(),
        "weight-decay": parameters.weight_decay.to_string(),
        "seed": str(settings.seed),
    }


def train_model_step(context: StepContext, prepare_data: ProcessingStep) -> TrainingStep:
    settings = context.settings
    trainer = ModelTrainer(
        sagemaker_session=context.session,
        role=settings.role_arn,
        training_image=context.training_image(settings.training_instance_type),
        hyperparameters=hyperparameters(context),
        compute=Compute(
            instance_type=context.parameters.training_instance_type,
            instance_count=1,
            volume_size_in_gb=settings.volume_size_gb,
        ),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=settings.training_timeout_seconds),
        output_data_config=OutputDataConfig(
            s3_output_path=context.execution_uri(NAME), compression_type="GZIP"
        ),
    ).with_metric_definitions([MetricDefinition(name=name, regex=f"{name}=([0-9.]+)") for name in METRICS])
    channels = [
        InputData(channel_name=channel, data_source=output_uri(prepare_data, channel))
        for channel in ("train", "validation")
    ]
    return TrainingStep(
        name=NAME,
        description="Trains the classifier from scratch; model.tar.gz carries its own serving code",
        step_args=trainer.train(input_data_config=channels),
        cache_config=context.cache(),
        retry_policies=job_retries(),
    )
