"""What every step of the definition is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagemaker.core import image_uris
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.retry import (
    RetryPolicy,
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import CacheConfig

from pipeline import algorithms
from pipeline.code import Code
from pipeline.steps.parameters import Parameters

if TYPE_CHECKING:
    from pipeline.settings import Settings

# The newest versions whose training and inference images both exist (image_uris of SDK 3.27).
PYTORCH_TRAINING = ("2.6.0", "py312")
PYTORCH_INFERENCE = ("2.6.0", "py312")
BUILT_IN_VERSION = "1"  # image_uris knows no other


@dataclass(frozen=True)
class StepContext:
    settings: Settings
    session: PipelineSession
    parameters: Parameters
    processing: Code
    training: Code

    def training_image(self, instance_type: str) -> str:
        """PyTorch for training, and for processing too: evaluation loads the model that training wrote."""
        version, python = PYTORCH_TRAINING
        return self._image("training", version, python, instance_type)

    def algorithm_image(self) -> str:
        """What the training job runs: one's own image, the built-in algorithm's, or PyTorch."""
        settings = self.settings
        if settings.algorithm == algorithms.BUILT_IN:
            return self._built_in_image()
        return settings.training_image_uri or self.training_image(settings.training_instance_type)

    def inference_image(self) -> str:
        settings = self.settings
        if settings.algorithm == algorithms.BUILT_IN:
            return self._built_in_image()
        own = algorithms.own_inference_image(settings)
        if own:
            return own
        version, python = PYTORCH_INFERENCE
        return self._image("inference", version, python, settings.endpoint_instance_type)

    def _built_in_image(self) -> str:
        """It trains and serves."""
        return str(
            image_uris.retrieve(algorithms.BUILT_IN, region=self.settings.region, version=BUILT_IN_VERSION)
        )

    def _image(self, scope: str, version: str, python: str, instance_type: str) -> str:
        return str(
            image_uris.retrieve(
                "pytorch",
                region=self.settings.region,
                version=version,
                py_version=python,
                instance_type=instance_type,
                image_scope=scope,
                sagemaker_session=self.session,
            )
        )

    def execution_uri(self, *parts: str) -> Any:
        """A place of this execution's own. Cache keys leave outputs out, so it costs no cache hit."""
        values = [
            self.settings.s3_uri("executions"),
            ExecutionVariables.PIPELINE_EXECUTION_ID,
            "/".join(parts),
        ]
        return Join(on="/", values=values)

    def cache(self) -> CacheConfig:
        return CacheConfig(enable_caching=True, expire_after=self.settings.cache_expire_after)


def service_retries() -> RetryPolicy:
    """For what the service itself refuses or breaks: any step may meet it."""
    return StepRetryPolicy(
        exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
        interval_seconds=5,
        backoff_rate=2.0,
        max_attempts=5,
    )


def job_retries() -> list[RetryPolicy]:
    """And for jobs that fail through no fault of their code: no capacity, or an internal error."""
    capacity = SageMakerJobStepRetryPolicy(
        exception_types=[SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT],
        failure_reason_types=[
            SageMakerJobExceptionTypeEnum.CAPACITY_ERROR,
            SageMakerJobExceptionTypeEnum.INTERNAL_ERROR,
        ],
        interval_seconds=60,
        backoff_rate=2.0,
        max_attempts=4,
    )
    return [service_retries(), capacity]
