"""What both processing jobs share: the code's place, the image, inputs and outputs."""

from __future__ import annotations

from typing import Any

from sagemaker.core.network import NetworkConfig
from sagemaker.core.processing import Processor
from sagemaker.core.shapes.shapes import (
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
)

from pipeline.steps.context import StepContext

CODE = "/opt/ml/processing/input/code"


def processor(context: StepContext, module: str, *, needs_network: bool = False) -> Processor:
    """A job that runs `python3 -m processing.<module>`, which is never isolated where it `needs_network`."""
    settings = context.settings
    isolated = settings.network_isolation and not needs_network
    network = NetworkConfig(
        enable_network_isolation=isolated,
        subnets=list(settings.subnet_ids) or None,
        security_group_ids=list(settings.security_group_ids) or None,
    )
    return Processor(
        role=settings.role("processing"),
        image_uri=context.training_image(settings.processing_instance_type),
        instance_count=1,
        instance_type=context.parameters.processing_instance_type,
        entrypoint=["python3", "-m", f"processing.{module}"],
        volume_size_in_gb=settings.volume_size_gb,
        volume_kms_key=settings.kms_key_arn or None,
        output_kms_key=settings.kms_key_arn or None,
        network_config=network if isolated or settings.subnet_ids else None,
        max_runtime_in_seconds=settings.processing_timeout_seconds,
        env={"PYTHONPATH": CODE, "PYTHONUNBUFFERED": "1"},
        sagemaker_session=context.session,
    )


def job_input(name: str, uri: Any, path: str) -> ProcessingInput:
    return ProcessingInput(
        input_name=name,
        s3_input=ProcessingS3Input(
            s3_uri=uri, local_path=path, s3_data_type="S3Prefix", s3_input_mode="File"
        ),
    )


def code_input(context: StepContext) -> ProcessingInput:
    return job_input("code", context.processing.uri(context.settings), f"{CODE}/processing")


def job_output(name: str, uri: Any, path: str) -> ProcessingOutput:
    return ProcessingOutput(
        output_name=name,
        s3_output=ProcessingS3Output(s3_uri=uri, local_path=path, s3_upload_mode="EndOfJob"),
    )
