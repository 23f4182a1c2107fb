"""EvaluateModel: asks the trained model for each validation image, through the code that will serve it."""

from __future__ import annotations

from sagemaker.core.workflow.functions import JsonGet
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep, TransformStep, TuningStep

from pipeline.steps.context import StepContext, job_retries
from pipeline.steps.find_approved_model import approved_model
from pipeline.steps.prepare_data import output_uri
from pipeline.steps.processing_job import code_input, job_input, job_output, processor
from pipeline.steps.tune_model import model_uri

NAME = "EvaluateModel"
MODEL = "/opt/ml/processing/model"
APPROVED = "/opt/ml/processing/approved"
PREDICTIONS = "/opt/ml/processing/predictions"
IMAGES = "/opt/ml/processing/validation"
OUTPUT = "/opt/ml/processing/evaluation"
EVALUATION = PropertyFile(name="Evaluation", output_name="evaluation", path="evaluation.json")
ACCURACY = "multiclass_classification_metrics.accuracy.value"


def measured(evaluate_model: ProcessingStep, path: str) -> JsonGet:
    """A value of evaluation.json, read when the execution gets there."""
    return JsonGet(step_name=evaluate_model.name, property_file=EVALUATION, json_path=path)


def evaluate_model_step(
    context: StepContext,
    prepare_data: ProcessingStep,
    train_model: TrainingStep | TuningStep,
    find_approved_model: ProcessingStep,
    predict_validation: TransformStep | None = None,
) -> ProcessingStep:
    """Scores the answers of the transform job where there is one, instead of asking the model itself."""
    if predict_validation:
        answers = {"--predictions": PREDICTIONS}
        place = predict_validation.properties.TransformOutput.S3OutputPath
        given = job_input("predictions", place, PREDICTIONS)
    else:
        answers = {"--model": f"{MODEL}/model.tar.gz"}
        given = job_input("model", model_uri(train_model), MODEL)
    arguments = answers | {
        "--data": IMAGES,
        "--output-dir": OUTPUT,
        "--classes": ",".join(context.settings.classes),
        "--approved-model": APPROVED,
        "--approved-package": approved_model(find_approved_model, "model_package_arn"),
        "--approved-note": approved_model(find_approved_model, "note"),
    }
    return ProcessingStep(
        name=NAME,
        description="Accuracy, calibration, and the approved model's answers to the same validation images",
        step_args=processor(context, "evaluate").run(
            inputs=[
                code_input(context),
                given,
                job_input("validation", output_uri(prepare_data, "validation"), IMAGES),
                job_input("approved", approved_model(find_approved_model, "model_data"), APPROVED),
            ],
            outputs=[job_output("evaluation", context.execution_uri(NAME, "evaluation"), OUTPUT)],
            arguments=[word for pair in arguments.items() for word in pair],
        ),
        property_files=[EVALUATION],
        cache_config=context.cache(),
        retry_policies=job_retries(),
    )
