"""Training jobs: Create, Describe, Update, Stop, List, Delete."""

from __future__ import annotations

from localaws.documents import Document
from localaws.sagemaker import job_documents
from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.images import KNOWN, repository
from localaws.sagemaker.job_runs import recover
from localaws.sagemaker.metrics import check_definitions
from localaws.sagemaker.operations import now, operation, public
from localaws.sagemaker.service import SageMakerService, described
from localaws.sagemaker.training_document import artifacts, end, enter
from localaws.sagemaker.training_run import KIND, TrainingRun

_DAY = 86_400


def start(service: SageMakerService) -> None:
    recover(service, KIND, end)


def close(service: SageMakerService) -> None:
    service.jobs.close(service.stack.arn("training-job/"))


@operation("CreateTrainingJob")
def create_training_job(service: SageMakerService, request: Document) -> Document:
    return create(service, request, {})


def create(service: SageMakerService, request: Document, more: Document) -> Document:
    """Creates the job; `more` are members of its document that no request has."""
    name = request["TrainingJobName"]
    arn = service.stack.arn(f"training-job/{name}")
    check(request)
    moment = now()
    document = {
        **described("DescribeTrainingJob", request),
        **more,
        "StoppingCondition": {"MaxRuntimeInSeconds": _DAY} | (request.get("StoppingCondition") or {}),
        "TrainingJobArn": arn,
        "TrainingJobStatus": "InProgress",
        "ModelArtifacts": {"S3ModelArtifacts": str(artifacts(request))},
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "EnableNetworkIsolation": bool(request.get("EnableNetworkIsolation")),
        "EnableInterContainerTrafficEncryption": bool(request.get("EnableInterContainerTrafficEncryption")),
        "EnableManagedSpotTraining": bool(request.get("EnableManagedSpotTraining")),
        "ProfilingStatus": "Disabled",
    }
    enter(document, "Starting")
    job_documents.keep(service, KIND, document, request)
    service.jobs.launch(arn, lambda job: TrainingRun(service, name, job).run())
    return {"TrainingJobArn": arn}


@operation("DescribeTrainingJob")
def describe_training_job(service: SageMakerService, request: Document) -> Document:
    return public(job_documents.find(service, KIND, request["TrainingJobName"]))


@operation("UpdateTrainingJob")
def update_training_job(service: SageMakerService, request: Document) -> Document:
    name = request["TrainingJobName"]
    job_documents.find(service, KIND, name)

    def change(document: Document) -> None:
        job_documents.refuse_unless_active(KIND, document)
        for key, value in request.items():
            if isinstance(value, dict):
                document[key] = {**document.get(key, {}), **value}
            elif key != "TrainingJobName":
                document[key] = value
        document["LastModifiedTime"] = now()

    return {"TrainingJobArn": service.store.update(KIND, name, change)["TrainingJobArn"]}


@operation("StopTrainingJob")
def stop_training_job(service: SageMakerService, request: Document) -> Document:
    job_documents.stop(
        service, KIND, request["TrainingJobName"], lambda document: enter(document, "Stopping")
    )
    return {}


@operation("ListTrainingJobs")
def list_training_jobs(service: SageMakerService, request: Document) -> Document:
    return job_documents.listed(service, request, KIND, "SecondaryStatus", order="Ascending")


@operation("DeleteTrainingJob")
def delete_training_job(service: SageMakerService, request: Document) -> Document:
    job_documents.forget(service, KIND, request["TrainingJobName"])
    return {}


def check(request: Document) -> None:
    """What SageMaker refuses beyond its service model, and what is not done here. Raises ValidationError."""
    specification = request.get("AlgorithmSpecification") or {}
    if not specification.get("TrainingImage"):
        raise ValidationError(
            "AlgorithmSpecification.TrainingImage is missing: the local SageMaker runs images, neither "
            "algorithms from the marketplace nor serverless jobs."
        )
    if not request.get("ResourceConfig"):
        raise ValidationError("ResourceConfig is missing: the job needs an instance type and count.")
    definitions = specification.get("MetricDefinitions") or []
    image = KNOWN.get(repository(specification["TrainingImage"]))
    if definitions and image and image.metrics:
        raise ValidationError(
            "You can't override the metric definitions for Amazon SageMaker algorithms. Please retry the "
            "request without specifying metric definitions."
        )
    check_definitions(definitions)
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig") or []]
    for name in names:
        if names.count(name) > 1:
            raise ValidationError(
                f"Channel names must be unique; {name!r} is there {names.count(name)} times."
            )
    for channel in request.get("InputDataConfig") or []:
        source = channel["DataSource"].get("S3DataSource") or {}
        if source.get("S3DataType") not in ("S3Prefix", "ManifestFile"):
            raise ValidationError(
                f"The channel {channel['ChannelName']!r} needs an S3DataSource of type S3Prefix or "
                "ManifestFile: the local SageMaker reads no other."
            )
    path = (request.get("CheckpointConfig") or {}).get("LocalPath") or "/opt/ml/checkpoints"
    if not path.startswith("/opt/ml/") or ".." in path.split("/"):
        raise ValidationError(
            f"CheckpointConfig.LocalPath {path!r}: the local SageMaker needs it under /opt/ml."
        )
