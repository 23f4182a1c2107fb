"""TrainModel: script mode in the PyTorch container, or what another `algorithm` has in its place.

No `source_code` is given to the trainer: the SDK would put code and drivers under keys with timestamps, so
the definition would change at each build and nothing would ever be cached. The hyperparameters
`sagemaker_program` and `sagemaker_submit_directory` are the container toolkit's own contract for the same
(https://github.com/aws/sagemaker-training-toolkit).
"""

from __future__ import annotations

import json
from typing import Any

from sagemaker.core.training.configs import InputData
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep
from sagemaker.train import ModelTrainer

from pipeline import algorithms
from pipeline.steps import built_in_algorithm, own_image
from pipeline.steps.context import StepContext, job_retries
from pipeline.steps.prepare_data import PRETRAIN, output_uri
from pipeline.steps.training_job import training_job

NAME = "TrainModel"
# Where a container without a network finds its code: a channel, which SageMaker fills from outside.
CODE = "/opt/ml/input/data/code/sourcedir.tar.gz"
METRICS = (*own_image.METRICS, "heldout:accuracy", "heldout:loss")


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
        **{algorithms.script_name(name): _as_json(text) for name, text in settings.hyperparameters.items()},
    }


def _as_json(text: str) -> str:
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text)
    return text


def trainer(context: StepContext, step: str) -> ModelTrainer:
    return training_job(context, step, context.algorithm_image(), hyperparameters(context), METRICS)


def image_channels(prepare_data: ProcessingStep, *more: str) -> list[InputData]:
    """The images as files, with their lists."""
    return [
        InputData(channel_name=channel, data_source=output_uri(prepare_data, channel))
        for channel in ("train", "validation", *more)
    ]


def channels(context: StepContext, prepare_data: ProcessingStep) -> list[InputData]:
    found = image_channels(prepare_data, *((PRETRAIN,) if context.settings.pretrain else ()))
    if context.settings.network_isolation:
        found.append(InputData(channel_name="code", data_source=context.training.uri(context.settings)))
    return found


def train_model_step(context: StepContext, prepare_data: ProcessingStep) -> TrainingStep:
    return TrainingStep(
        name=NAME,
        description="Trains the classifier from scratch",
        step_args=_step_arguments(context, prepare_data),
        cache_config=context.cache(),
        retry_policies=job_retries(),
    )


def _step_arguments(context: StepContext, prepare_data: ProcessingStep) -> Any:
    match context.settings.algorithm:
        case algorithms.BUILT_IN:
            built_in = built_in_algorithm.trainer(context, prepare_data, NAME)
            return built_in.train(input_data_config=built_in_algorithm.channels(prepare_data))
        case algorithms.CUSTOM:
            return own_image.trainer(context, NAME).train(input_data_config=image_channels(prepare_data))
    return trainer(context, NAME).train(input_data_config=channels(context, prepare_data))
