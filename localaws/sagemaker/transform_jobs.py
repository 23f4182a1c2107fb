"""Batch transform jobs: Create, Describe, Stop, List."""

from __future__ import annotations

from localaws.documents import Document
from localaws.sagemaker import job_documents
from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.job_runs import recover
from localaws.sagemaker.models import find_model
from localaws.sagemaker.operations import now, operation, public
from localaws.sagemaker.service import SageMakerService, described
from localaws.sagemaker.transform_run import KIND, TransformRun, end

_LARGEST_MB = 100
_DEFAULT_MB = 6


def start(service: SageMakerService) -> None:
    recover(service, KIND, end)


def close(service: SageMakerService) -> None:
    service.jobs.close(service.stack.arn("transform-job/"))


@operation("CreateTransformJob")
def create_transform_job(service: SageMakerService, request: Document) -> Document:
    """Starts the job. The model is resolved now, so it may be deleted while the job runs."""
    name = request["TransformJobName"]
    arn = service.stack.arn(f"transform-job/{name}")
    _check(request)
    model = find_model(service, request["ModelName"])
    containers = model["_Resolved"]
    if len(containers) != 1:
        raise ValidationError("The local SageMaker transforms with models of one container, not several.")
    moment = now()
    document = {
        **described("DescribeTransformJob", request),
        "TransformJobArn": arn,
        "TransformJobStatus": "InProgress",
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "_Container": containers[0],
        "_Role": model.get("ExecutionRoleArn"),
    }
    job_documents.keep(service, KIND, document, request)
    service.jobs.launch(arn, lambda job: TransformRun(service, name, job).run())
    return {"TransformJobArn": arn}


@operation("DescribeTransformJob")
def describe_transform_job(service: SageMakerService, request: Document) -> Document:
    document = public(job_documents.find(service, KIND, request["TransformJobName"]))
    del document["LastModifiedTime"]  # which only the list has
    return document


@operation("StopTransformJob")
def stop_transform_job(service: SageMakerService, request: Document) -> Document:
    job_documents.stop(service, KIND, request["TransformJobName"])
    return {}


@operation("ListTransformJobs")
def list_transform_jobs(service: SageMakerService, request: Document) -> Document:
    return job_documents.listed(service, request, KIND, "FailureReason", default_limit=10)


def _check(request: Document) -> None:
    """Refuses what SageMaker refuses, and what cannot be had here."""
    payload, concurrent = request.get("MaxPayloadInMB"), request.get("MaxConcurrentTransforms")
    megabytes = (_DEFAULT_MB if payload is None else payload) * (concurrent or 1)
    if megabytes > _LARGEST_MB:
        raise ValidationError(
            f"MaxConcurrentTransforms * MaxPayloadInMB is {megabytes} MB and cannot exceed {_LARGEST_MB} MB."
        )
    given = request["TransformInput"]
    processing = request.get("DataProcessing") or {}
    missing = {
        "SplitType": given.get("SplitType") in ("RecordIO", "TFRecord"),
        "S3DataType": given["DataSource"]["S3DataSource"]["S3DataType"] not in ("S3Prefix", "ManifestFile"),
        "InputFilter": processing.get("InputFilter", "$") != "$",
        "OutputFilter": processing.get("OutputFilter", "$") != "$",
        "JoinSource": processing.get("JoinSource", "None") != "None",
        "DataCaptureConfig": bool(request.get("DataCaptureConfig")),
    }
    for member in (member for member, asked in missing.items() if asked):
        raise ValidationError(
            f"The local SageMaker has no such {member}: transform jobs here read S3Prefix or ManifestFile, "
            "split by None or Line, and neither filter, join nor capture."
        )
