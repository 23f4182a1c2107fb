"""What training jobs share, whatever trains in them: instance, networking, limits, where the model goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sagemaker.core.training.configs import (
    CheckpointConfig,
    Compute,
    MetricDefinition,
    Networking,
    OutputDataConfig,
    StoppingCondition,
)
from sagemaker.train import ModelTrainer

from pipeline.steps.context import StepContext

if TYPE_CHECKING:
    from pipeline.settings import Settings

NUMBER = "([0-9.]+)"


def training_job(
    context: StepContext,
    step: str,
    image: str,
    hyperparameters: Mapping[str, Any],
    metrics: tuple[str, ...] = (),
    input_mode: str = "File",
) -> ModelTrainer:
    """The job's trainer; its models go to the execution's folder for the step.

    `metrics` are those that the log has as `name=number`.
    """
    settings = context.settings
    trainer = ModelTrainer(
        sagemaker_session=context.session,
        role=settings.role("training"),
        training_image=image,
        training_input_mode=input_mode,
        hyperparameters=dict(hyperparameters),
        compute=Compute(
            instance_type=context.parameters.training_instance_type,
            instance_count=1,
            volume_size_in_gb=settings.volume_size_gb,
            **({"enable_managed_spot_training": True} if settings.spot else {}),
            **({"volume_kms_key_id": settings.kms_key_arn} if settings.kms_key_arn else {}),
        ),
        networking=networking(settings),
        stopping_condition=_stopping_condition(settings),
        output_data_config=OutputDataConfig(
            s3_output_path=context.execution_uri(step),
            kms_key_id=settings.kms_key_arn or None,
            compression_type="GZIP",
        ),
    )
    if settings.spot:
        trainer = trainer.with_checkpoint_config(CheckpointConfig(s3_uri=_checkpoints(settings, step)))
    if not metrics:
        return trainer
    return trainer.with_metric_definitions(
        [MetricDefinition(name=name, regex=f"{name}={NUMBER}") for name in metrics]
    )


def _stopping_condition(settings: Settings) -> StoppingCondition:
    seconds = settings.training_timeout_seconds
    wait = {"max_wait_time_in_seconds": seconds + settings.spot_wait_seconds} if settings.spot else {}
    return StoppingCondition(max_runtime_in_seconds=seconds, **wait)


def _checkpoints(settings: Settings, step: str) -> str:
    """One place for all executions: it is a part of the step's cache key, which would never be met again.

    A checkpoint says what it is of, so that a job with anything else leaves it alone.
    """
    return settings.s3_uri("executions", "checkpoints", settings.pipeline_name, step)


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
