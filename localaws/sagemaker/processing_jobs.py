"""Processing jobs: Create, Describe, Stop, List, Delete."""

from __future__ import annotations

from localaws.sagemaker.errors import ResourceInUseError, ValidationError
from localaws.sagemaker.job_runs import Document, announce, recover
from localaws.sagemaker.jobs import Stop
from localaws.sagemaker.operations import now, operation, page, public, tags_of
from localaws.sagemaker.processing_run import KIND, ProcessingRun, end
from localaws.sagemaker.service import SageMakerService, described
from localaws.sagemaker.tags import drop_tags, set_tags

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
    with service.store.transaction():
        if service.store.get(KIND, name):
            raise ResourceInUseError(
                "Processing job names must be unique within an AWS account and region, and a processing job "
                f"with this name already exists ({arn})"
            )
        service.store.put(KIND, name, document)
        set_tags(service, arn, tags_of(request))
    announce(service, KIND, document)
    service.jobs.launch(arn, lambda job: ProcessingRun(service, name, job).run())
    return {"ProcessingJobArn": arn}


@operation("DescribeProcessingJob")
def describe_processing_job(service: SageMakerService, request: Document) -> Document:
    return public(_find(service, request["ProcessingJobName"]))


@operation("StopProcessingJob")
def stop_processing_job(service: SageMakerService, request: Document) -> Document:
    name = request["ProcessingJobName"]
    _find(service, name)

    def change(document: Document) -> None:
        status = document["ProcessingJobStatus"]
        if status not in ("InProgress", "Stopping"):
            raise ValidationError(
                f"The request was rejected because the processing job is in status {status}."
            )
        document["ProcessingJobStatus"] = "Stopping"
        document["LastModifiedTime"] = now()

    document = service.store.update(KIND, name, change)
    announce(service, KIND, document)
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
    )


@operation("DeleteProcessingJob")
def delete_processing_job(service: SageMakerService, request: Document) -> Document:
    document = _find(service, request["ProcessingJobName"])
    if document["ProcessingJobStatus"] in ("InProgress", "Stopping"):
        raise ResourceInUseError(f"{document['ProcessingJobArn']} is {document['ProcessingJobStatus']}.")
    with service.store.transaction():
        service.store.delete(KIND, document["ProcessingJobName"])
        drop_tags(service, document["ProcessingJobArn"])
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
