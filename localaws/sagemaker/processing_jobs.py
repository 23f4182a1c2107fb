"""Processing jobs: Create, Describe, Stop, List, Delete."""

from __future__ import annotations

from localaws.sagemaker import job_documents
from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.job_runs import Document, recover
from localaws.sagemaker.jobs import Stop
from localaws.sagemaker.operations import now, operation, page, public
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
    return public(_find(service, request["ProcessingJobName"]))


@operation("StopProcessingJob")
def stop_processing_job(service: SageMakerService, request: Document) -> Document:
    _find(service, request["ProcessingJobName"])
    document = job_documents.stop(service, KIND, request["ProcessingJobName"])
    service.jobs.ask_to_stop(document["ProcessingJobArn"], Stop.USER)
    return {}


@operation("ListProcessingJobs")
def list_processing_jobs(service: SageMakerService, request: Document) -> Document:
    members = (
        "ProcessingJobName",
        "ProcessingJobArn",
        "CreationTime",
        "ProcessingEndTime",
        "LastModifiedTime",
        "ProcessingJobStatus",
        "FailureReason",
        "ExitMessage",
    )
    return page(
        service.store.list(KIND),
        request,
        member="ProcessingJobSummaries",
        summary=lambda document: {key: document[key] for key in members if key in document},
        sort={"CreationTime": "CreationTime", "Name": "ProcessingJobName", "Status": "ProcessingJobStatus"},
        name="ProcessingJobName",
        order="Ascending",
    )


@operation("DeleteProcessingJob")
def delete_processing_job(service: SageMakerService, request: Document) -> Document:
    job_documents.forget(service, KIND, _find(service, request["ProcessingJobName"]))
    return {}


def _find(service: SageMakerService, name: str) -> Document:
    document = service.store.get(KIND, name)
    if document is None:
        raise ValidationError(f"Could not find requested job with name: {name}")
    return document


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
