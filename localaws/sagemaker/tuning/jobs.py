"""Hyperparameter tuning jobs: Create, Describe, Stop, List, Delete, and the list of their training jobs."""

from __future__ import annotations

import secrets

from localaws.documents import Document
from localaws.sagemaker import job_documents, training_jobs
from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.images import ImageRegistryError, UnknownImageError, find_image
from localaws.sagemaker.jobs import Stop
from localaws.sagemaker.operations import now, operation, page, public
from localaws.sagemaker.service import SageMakerService, check, described
from localaws.sagemaker.tuning import checks, trials
from localaws.sagemaker.tuning.course import TuningRun
from localaws.sagemaker.tuning.definitions import KIND, OBJECTIVE, budget, search_of, training_request

_NAME = "HyperParameterTuningJobName"
_STATUS = "HyperParameterTuningJobStatus"
_VALUE = "FinalObjectiveMetricValue"


def start(service: SageMakerService) -> None:
    """Goes on with what an earlier process left."""
    for document in service.store.list(KIND):
        if document[_STATUS] in job_documents.ACTIVE:
            _launch(service, document)


def close(service: SageMakerService) -> None:
    prefix = service.stack.arn("hyper-parameter-tuning-job/")
    for document in service.store.list(KIND):
        service.jobs.ask_to_stop(document["HyperParameterTuningJobArn"], Stop.CLOSING)
    with service.store.changed:
        service.store.changed.notify_all()
    service.jobs.close(prefix)


@operation("CreateHyperParameterTuningJob")
def create_tuning_job(service: SageMakerService, request: Document) -> Document:
    name = request[_NAME]
    arn = service.stack.arn(f"hyper-parameter-tuning-job/{name}")
    checks.check(request, _own_metrics(service, request))
    document = _document(request, arn)
    _check_training(document)
    job_documents.keep(service, KIND, document, request)
    _launch(service, document)
    return {"HyperParameterTuningJobArn": arn}


def _own_metrics(service: SageMakerService, request: Document) -> list[str]:
    """The metrics that the image brings. Raises ValidationError for an image that nothing stands in for."""
    definition = request.get("TrainingJobDefinition") or {}
    uri = (definition.get("AlgorithmSpecification") or {}).get("TrainingImage")
    try:
        return [each["Name"] for each in find_image(service.stack, uri).metrics] if uri else []
    except (UnknownImageError, ImageRegistryError) as error:
        raise ValidationError(str(error)) from error


def _document(request: Document, arn: str) -> Document:
    config, moment = request["HyperParameterTuningJobConfig"], now()
    definition = request["TrainingJobDefinition"]
    metric = config["HyperParameterTuningJobObjective"]["MetricName"]
    static = {OBJECTIVE: metric} | (definition.get("StaticHyperParameters") or {})
    document = {
        **described("DescribeHyperParameterTuningJob", request),
        "TrainingJobDefinition": definition | {"StaticHyperParameters": static},
        "HyperParameterTuningJobArn": arn,
        _STATUS: "InProgress",
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "_Trials": [],
        "_Seed": config["RandomSeed"] if "RandomSeed" in config else secrets.randbits(32),
        "_Budget": budget(config),
    }
    trials.summarise(document)
    return document


def _check_training(document: Document) -> None:
    """Would its training jobs be taken? Better told now than by each of them."""
    tuned = search_of(document).next([], 0)
    request = training_request(document, f"{document[_NAME]}-001-00000000", tuned)
    check("CreateTrainingJob", request)
    training_jobs.check(request)


def _launch(service: SageMakerService, document: Document) -> None:
    name = document[_NAME]
    service.jobs.launch(
        document["HyperParameterTuningJobArn"], lambda job: TuningRun(service, name, job).run()
    )


@operation("DescribeHyperParameterTuningJob")
def describe_tuning_job(service: SageMakerService, request: Document) -> Document:
    return public(job_documents.find(service, KIND, request[_NAME]))


@operation("StopHyperParameterTuningJob")
def stop_tuning_job(service: SageMakerService, request: Document) -> Document:
    job_documents.set_stopping(service, KIND, request[_NAME])
    return {}


@operation("ListHyperParameterTuningJobs")
def list_tuning_jobs(service: SageMakerService, request: Document) -> Document:
    return job_documents.listed(
        service,
        {"SortBy": "Name"} | request,
        KIND,
        "TrainingJobStatusCounters",
        "ObjectiveStatusCounters",
        "Strategy",
        "ResourceLimits",
        summary=lambda document: document | document["HyperParameterTuningJobConfig"],
        order="Ascending",
        default_limit=10,
    )


@operation("ListTrainingJobsForHyperParameterTuningJob")
def list_training_jobs(service: SageMakerService, request: Document) -> Document:
    document = job_documents.find(service, KIND, request[_NAME])
    wanted = request.get("StatusEquals")
    found = [
        {**trial, _VALUE: trials.value_of(trial)}
        for trial in document["_Trials"]
        if wanted in (None, trial["TrainingJobStatus"])
        and (request.get("SortBy") != _VALUE or trials.value_of(trial) is not None)
    ]
    asked = {key: value for key, value in request.items() if key != "StatusEquals"}
    return page(
        found,
        asked,
        member="TrainingJobSummaries",
        summary=lambda trial: {key: value for key, value in trials.shown(trial).items() if key != _VALUE},
        sort={
            "Name": "TrainingJobName",
            "CreationTime": "CreationTime",
            "Status": "TrainingJobStatus",
            _VALUE: _VALUE,
        },
        order="Ascending",
        default_limit=10,
    )


@operation("DeleteHyperParameterTuningJob")
def delete_tuning_job(service: SageMakerService, request: Document) -> Document:
    """Forgets the tuning job; its training jobs and their models stay."""
    job_documents.forget(service, KIND, request[_NAME])
    return {}
