"""TuneModel: a tuning job in TrainModel's place; its best training job's model is what goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagemaker.core.parameter import ContinuousParameter, IntegerParameter, ParameterRange
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.retry import SageMakerJobExceptionTypeEnum, SageMakerJobStepRetryPolicy
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep, TuningStep
from sagemaker.train.tuner import HyperparameterTuner

from pipeline.search import OBJECTIVES
from pipeline.steps.context import StepContext, service_retries
from pipeline.steps.train_model import METRICS, channels, trainer
from pipeline.steps.training_job import NUMBER

if TYPE_CHECKING:
    from pipeline.search import Tuning

NAME = "TuneModel"


class _Tuner(HyperparameterTuner):
    """The SDK's, which forgets network isolation, VPC and volume key of the trainer that it is given."""

    def _build_training_job_definition(self, inputs: Any) -> Any:
        definition = super()._build_training_job_definition(inputs)
        compute, networking = self.model_trainer.compute, self.model_trainer.networking
        if getattr(compute, "volume_kms_key_id", None):
            definition.resource_config.volume_kms_key_id = compute.volume_kms_key_id
        if networking is not None:
            definition.enable_network_isolation = networking.enable_network_isolation
            definition.vpc_config = networking._to_vpc_config() or definition.vpc_config
        return definition


def ranges(tuning: Tuning) -> dict[str, ParameterRange]:
    """By the names that the training job has for its hyperparameters."""
    found = {}
    for name, (low, high) in tuning.ranges.items():
        scaling = tuning.scaling(name)
        found[name.replace("_", "-")] = (
            IntegerParameter(int(low), int(high), scaling)
            if tuning.is_integer(name)
            else ContinuousParameter(low, high, scaling)
        )
    return found


def tune_model_step(context: StepContext, prepare_data: ProcessingStep, tuning: Tuning) -> TuningStep:
    tuner = _Tuner(
        trainer(context, NAME),
        objective_metric_name=tuning.objective,
        objective_type=OBJECTIVES[tuning.objective],
        metric_definitions=[{"Name": name, "Regex": f"{name}={NUMBER}"} for name in METRICS],
        hyperparameter_ranges=ranges(tuning),
        strategy=tuning.strategy,
        max_jobs=tuning.max_jobs,
        max_parallel_jobs=tuning.max_parallel_jobs,
        random_seed=context.settings.seed % (2**31 - 1) + 1,  # the SDK takes 0 for none, the service an int32
    )
    # Tuning repeats what fails through no fault of its own by itself; no capacity at all is another matter.
    capacity = SageMakerJobStepRetryPolicy(
        exception_types=[SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT],
        interval_seconds=60,
        backoff_rate=2.0,
        max_attempts=4,
    )
    return TuningStep(
        name=NAME,
        description="Searches hyperparameters by cross-validation within the training images",
        step_args=tuner.tune(inputs=channels(context, prepare_data)),
        cache_config=context.cache(),
        retry_policies=[service_retries(), capacity],
    )


def model_uri(step: TrainingStep | TuningStep) -> Any:
    """Where the step's model is; a tuning job's best, in an earlier folder where it comes from the cache."""
    if isinstance(step, TrainingStep):
        return step.properties.ModelArtifacts.S3ModelArtifacts
    properties = step.properties
    values = [
        properties.TrainingJobDefinition.OutputDataConfig.S3OutputPath,
        properties.BestTrainingJob.TrainingJobName,
        "output/model.tar.gz",
    ]
    return Join(on="/", values=values)
