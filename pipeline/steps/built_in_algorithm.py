"""TrainModel with SageMaker's built-in image classification: RecordIO through a pipe, on a GPU.

No metric definitions: CreateTrainingJob refuses them ("You can't override the metric definitions for Amazon
SageMaker algorithms"). It has `train:accuracy` and `validation:accuracy` by itself.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html
"""

from __future__ import annotations

from typing import Any

from sagemaker.core.shapes.shapes import Channel, DataSource, S3DataSource
from sagemaker.core.workflow.functions import JsonGet
from sagemaker.mlops.workflow.steps import ProcessingStep
from sagemaker.train import ModelTrainer

from pipeline.steps.context import StepContext
from pipeline.steps.prepare_data import RECORDIO, STATISTICS, output_uri
from pipeline.steps.training_job import training_job

CONTENT_TYPE = "application/x-recordio"
# What has no setting of its own is changed by `hyperparameters`. For small images the algorithm has networks
# of 20, 32, 44, 56 and 110 layers.
SMALL_IMAGE, SMALL_LAYERS, LAYERS = 64, 20, 18


def hyperparameters(context: StepContext, prepare_data: ProcessingStep) -> dict[str, Any]:
    """SageMaker takes texts: what is known only when the execution gets there is joined into one."""
    settings, parameters = context.settings, context.parameters
    images = JsonGet(step_name=prepare_data.name, property_file=STATISTICS, json_path="splits.train.images")
    size = settings.image_size
    return {
        "num_classes": str(len(settings.classes)),
        "num_training_samples": images.to_string(),
        "image_shape": f"3,{size},{size}",
        "num_layers": str(SMALL_LAYERS if size <= SMALL_IMAGE else LAYERS),
        "optimizer": "sgd",
        "momentum": "0.9",
        "augmentation_type": "crop_color_transform",
        "epochs": parameters.epochs.to_string(),
        "learning_rate": parameters.learning_rate.to_string(),
        "mini_batch_size": parameters.batch_size.to_string(),
        "weight_decay": parameters.weight_decay.to_string(),
        # By itself it keeps the epoch that is best on the validation images, and the gate would measure what
        # was chosen there. So there is one checkpoint, after the last epoch.
        "checkpoint_frequency": parameters.epochs.to_string(),
        **settings.hyperparameters,
    }


def trainer(context: StepContext, prepare_data: ProcessingStep, step: str) -> ModelTrainer:
    return training_job(
        context, step, context.algorithm_image(), hyperparameters(context, prepare_data), input_mode="Pipe"
    )


def channels(prepare_data: ProcessingStep) -> list[Channel]:
    """One RecordIO file each, whose images are read as they come."""

    def source(channel: str) -> DataSource:
        return DataSource(
            s3_data_source=S3DataSource(
                s3_data_type="S3Prefix",
                s3_uri=output_uri(prepare_data, f"{channel}{RECORDIO}"),
                s3_data_distribution_type="FullyReplicated",
            )
        )

    return [
        Channel(channel_name=name, data_source=source(name), content_type=CONTENT_TYPE, input_mode="Pipe")
        for name in ("train", "validation")
    ]
