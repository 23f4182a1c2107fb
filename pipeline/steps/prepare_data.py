"""PrepareData: the archive becomes image channels and their statistics."""

from __future__ import annotations

from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline.steps.context import StepContext, job_retries
from pipeline.steps.processing_job import code_input, job_output, processor

NAME = "PrepareData"
OUTPUT = "/opt/ml/processing/output"
OUTPUTS = ("train", "validation", "statistics")
PRETRAIN = "pretrain"  # also the name of its channel; only where the settings ask for it
STATISTICS = PropertyFile(name="Statistics", output_name="statistics", path="statistics.json")


def prepare_data_step(context: StepContext) -> ProcessingStep:
    settings = context.settings
    arguments = {
        "--source": context.parameters.data_source,
        "--classes": ",".join(settings.classes),
        "--image-size": str(settings.image_size),
        "--output-dir": OUTPUT,
    }
    pretrain = (PRETRAIN,) if settings.pretrain else ()
    return ProcessingStep(
        name=NAME,
        description="Verifies the archive, keeps the chosen classes, writes images and their statistics",
        step_args=processor(context, "prepare", needs_network=True).run(
            inputs=[code_input(context)],
            outputs=[
                job_output(name, context.execution_uri(NAME, name), f"{OUTPUT}/{name}")
                for name in (*OUTPUTS, *pretrain)
            ],
            arguments=[
                *(word for pair in arguments.items() for word in pair),
                *(f"--{option}" for option in pretrain),
            ],
        ),
        property_files=[STATISTICS],
        cache_config=context.cache(),
        retry_policies=job_retries(),
    )


def output_uri(step: ProcessingStep, name: str) -> object:
    """Where the step's output went, as a reference that is resolved when the execution gets there."""
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri
