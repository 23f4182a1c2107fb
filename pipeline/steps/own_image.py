"""TrainModel with an image that a person brings, by SageMaker's plain container contract.

The container finds the images and their `.lst` files in /opt/ml/input/data/{train,validation}, its
hyperparameters, all texts, in /opt/ml/input/config/hyperparameters.json, and leaves its model in
/opt/ml/model. What it logs as `validation:accuracy=0.9` becomes a metric.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html
"""

from __future__ import annotations

from typing import Any

from sagemaker.train import ModelTrainer

from pipeline.steps.context import StepContext
from pipeline.steps.training_job import training_job

METRICS = ("train:loss", "train:accuracy", "validation:loss", "validation:accuracy")


def hyperparameters(context: StepContext) -> dict[str, Any]:
    settings, parameters = context.settings, context.parameters
    return {
        "classes": ",".join(settings.classes),
        "image-size": str(settings.image_size),
        "epochs": parameters.epochs.to_string(),
        "learning-rate": parameters.learning_rate.to_string(),
        "batch-size": parameters.batch_size.to_string(),
        "weight-decay": parameters.weight_decay.to_string(),
        "seed": str(settings.seed),
        **settings.hyperparameters,
    }


def trainer(context: StepContext, step: str) -> ModelTrainer:
    return training_job(context, step, context.algorithm_image(), hyperparameters(context), METRICS)
