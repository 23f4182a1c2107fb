"""PrepareData: the archive becomes image channels and their statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline import algorithms
from pipeline.steps.context import StepContext, job_retries
from pipeline.steps.processing_job import code_input, job_output, processor

if TYPE_CHECKING:
    from pipeline.settings import Settings

NAME = "PrepareData"
OUTPUT = "/opt/ml/processing/output"
OUTPUTS = ("train", "validation", "statistics")
PRETRAIN = "pretrain"  # also the name of its channel; only where the settings ask for it
RECORDIO = "_recordio"  # of a channel's name, where it is one file
IMAGES = "validation_images"  # the validation images and nothing else
STATISTICS = PropertyFile(name="Statistics", output_name="statistics", path="statistics.json")


def prepare_data_step(context: StepContext) -> ProcessingStep:
    settings = context.settings
    arguments = {
        "--source": context.parameters.data_source,
        "--classes": ",".join(settings.classes),
        "--image-size": str(settings.image_size),
        "--output-dir": OUTPUT,
    }
    extra = _extra_outputs(settings)
    return ProcessingStep(
        name=NAME,
        description="Verifies the archive, keeps the chosen classes, writes images and their statistics",
        step_args=processor(context, "prepare", needs_network=True).run(
            inputs=[code_input(context)],
            outputs=[
                job_output(name, context.execution_uri(NAME, name), f"{OUTPUT}/{name}")
                for name in (*OUTPUTS, *(name for names in extra.values() for name in names))
            ],
            arguments=[*(word for pair in arguments.items() for word in pair), *extra],
        ),
        property_files=[STATISTICS],
        cache_config=context.cache(),
        retry_policies=job_retries(),
    )


def _extra_outputs(settings: Settings) -> dict[str, tuple[str, ...]]:
    """What the job is to write beside the channels, by the option that asks for it."""
    if settings.algorithm == algorithms.PYTORCH:
        return {"--pretrain": (PRETRAIN,)} if settings.pretrain else {}
    images: dict[str, tuple[str, ...]] = {"--validation-images": (IMAGES,)}
    if settings.algorithm == algorithms.CUSTOM:
        return images
    return {"--recordio": (f"train{RECORDIO}", f"validation{RECORDIO}")} | images


def output_uri(step: ProcessingStep, name: str) -> object:
    """Where the step's output went, as a reference that is resolved when the execution gets there."""
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri
