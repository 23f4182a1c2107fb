"""FindApprovedModel: what the new model is compared with. It runs beside PrepareData and TrainModel.

Never cached, since a person's approval changes its answer; what it answers is part of EvaluateModel's cache
key. Inside the pipeline, so that an execution from Studio or by a schedule compares as well.
"""

from __future__ import annotations

from sagemaker.core.workflow.functions import JsonGet
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline.steps.context import StepContext, job_retries
from pipeline.steps.processing_job import code_input, job_output, processor

NAME = "FindApprovedModel"
OUTPUT = "/opt/ml/processing/approved"
APPROVED = PropertyFile(name="Approved", output_name="approved", path="approved.json")


def find_approved_model_step(context: StepContext) -> ProcessingStep:
    arguments = {
        "--group": context.settings.model_package_group,
        "--region": context.settings.region,
        # An input must be there: where no model is approved, EvaluateModel is given the code once more.
        "--otherwise": context.processing.uri(context.settings),
        "--output-dir": OUTPUT,
    }
    return ProcessingStep(
        name=NAME,
        description="Looks up the approved model that the new one is compared with",
        step_args=processor(context, "approved", needs_network=True).run(
            inputs=[code_input(context)],
            outputs=[job_output("approved", context.execution_uri(NAME, "approved"), OUTPUT)],
            arguments=[word for pair in arguments.items() for word in pair],
        ),
        property_files=[APPROVED],
        retry_policies=job_retries(),
    )


def approved_model(step: ProcessingStep, key: str) -> JsonGet:
    """A value of approved.json, read when the execution gets there."""
    return JsonGet(step_name=step.name, property_file=APPROVED, json_path=key)
