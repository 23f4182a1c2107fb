"""Processing jobs: Create, Describe, Stop, List, Delete."""

from __future__ import annotations

from localaws.documents import Document
from localaws.sagemaker import job_documents
from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.job_runs import recover
from localaws.sagemaker.operations import now, operation, public
from localaws.sagemaker.processing_run import KIND, ProcessingRun, end
from localaws.sagemaker.service import SageMakerService, described

_DAY = 86_400


def start(service: SageMakerService) -> None:
    recover(service, KIND, end)


def close(service: SageMakerService) -> None:
    service.jobs.close(service.stack.arn("processing-job/"))


@operation("CreateProcessingJob")
def create_processing_job(service: SageMakerService, request: Document) -> Document:
    name = request["ProcessingJobName"]
    arn = service.stack.arn(f"processing-job/{name}")
    _check(request)
    moment = now()
    document = {
        "StoppingCondition": {"MaxRuntimeInSeconds": _DAY},
        **described("DescribeProcessingJob", request),
        "ProcessingJobArn": arn,
        "ProcessingJobStatus": "InProgress",
        "CreationTime": moment,
        "LastModifiedTime": moment,
    }
    job_documents.keep(service, KIND, document, request)
    service.jobs.launch(arn, lambda job: ProcessingRun(service, name, job).run())
    return {"ProcessingJobArn": arn}


@operation("DescribeProcessingJob")
def describe_processing_job(service: SageMakerService, request: Document) -> Document:
    return public(job_documents.find(service, KIND, request["ProcessingJobName"]))


@operation("StopProcessingJob")
def stop_processing_job(service: SageMakerService, request: Document) -> Document:
    job_documents.stop(service, KIND, request["ProcessingJobName"])
    return {}


@operation("ListProcessingJobs")
def list_processing_jobs(service: SageMakerService, request: Document) -> Document:
    return job_documents.listed(service, request, KIND, "FailureReason", "ExitMessage", order="Ascending")


@operation("DeleteProcessingJob")
def delete_processing_job(service: SageMakerService, request: Document) -> Document:
    job_documents.forget(service, KIND, request["ProcessingJobName"])
    return {}


def _check(request: Document) -> None:
    """Refuses what cannot be had here, and paths outside the container, which SageMaker refuses as well."""
    inputs = request.get("ProcessingInputs") or []
    outputs = (request.get("ProcessingOutputConfig") or {}).get("Outputs", [])
    for item in (*inputs, *outputs):
        for member in ("DatasetDefinition", "FeatureStoreOutput"):
            if item.get(member):
                raise ValidationError(f"The local SageMaker has no {member}; use S3Input and S3Output.")
    places = [item.get("S3Input") or {} for item in inputs]
    places += [item.get("S3Output") or {} for item in outputs]
    for place in filter(None, places):
        path = place.get("LocalPath", "")
        if not path.startswith("/opt/ml/processing") or ".." in path.split("/"):
            raise ValidationError(f"LocalPath {path!r} is invalid: it must be under /opt/ml/processing.")
