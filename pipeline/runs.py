"""The pipeline and its executions: upsert, start, watch, list, stop. Plain boto3, without the SDK."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import execution_parameters
from pipeline.code import processing_code, training_code
from pipeline.errors import is_missing

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

TERMINAL = ("Succeeded", "Failed", "Stopped")


class NoPipelineError(Exception):
    """The pipeline is not there: it was never upserted, or under another name."""


class NoExecutionError(Exception):
    """The pipeline was never started."""


class ExecutionFailedError(Exception):
    """An execution that ended other than Succeeded. The message has the failing step's own reason."""


class BucketError(Exception):
    """The bucket of the settings is missing or belongs to somebody else."""


@dataclass(frozen=True)
class Upserted:
    """What upsert did: `change` is created, updated or unchanged; `uploaded` are URIs of new code."""

    arn: str
    change: str
    uploaded: list[str]


@dataclass(frozen=True)
class Execution:
    arn: str
    status: str
    started: datetime
    modified: datetime
    reason: str | None = None

    @property
    def id(self) -> str:
        return self.arn.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class StepState:
    """A step of an execution as it is now.

    Attributes:
        made: the ARN of its job, or of the model package that it registered.
        seconds: None until it has started.
    """

    name: str
    status: str
    started: datetime | None
    ended: datetime | None
    cached: bool = False
    reason: str | None = None
    made: str | None = None

    @property
    def seconds(self) -> float | None:
        if self.started is None:
            return None
        end = self.ended or datetime.now(self.started.tzinfo)
        return max(0.0, (end - self.started).total_seconds())


def upsert(clients: Clients, settings: Settings) -> Upserted:
    """Uploads the code that the bucket lacks and creates or updates the pipeline, if anything changed."""
    from pipeline.definition import definition_json

    processing, training = processing_code(), training_code()
    definition = definition_json(settings, processing, training)
    s3, sagemaker = clients("s3"), clients("sagemaker")
    ensure_bucket(s3, settings)
    uploaded = [uri for code in (processing, training) for uri in code.upload(s3, settings)]
    _ensure_model_package_group(sagemaker, settings.model_package_group)
    request = {
        "PipelineName": settings.pipeline_name,
        "PipelineDefinition": definition,
        "RoleArn": settings.role_arn,
    }
    try:
        stored = _stored(sagemaker, settings)
    except NoPipelineError:
        return Upserted(sagemaker.create_pipeline(**request)["PipelineArn"], "created", uploaded)
    if _holds(stored, definition, settings):
        return Upserted(stored["PipelineArn"], "unchanged", uploaded)
    return Upserted(sagemaker.update_pipeline(**request)["PipelineArn"], "updated", uploaded)


def is_current(clients: Clients, settings: Settings) -> bool:
    """Whether an upsert would change nothing: what is stored is what code and settings here define.

    Raises:
        NoPipelineError: nothing is stored.
    """
    stored = _stored(clients("sagemaker"), settings)
    from pipeline.definition import definition_json  # seconds to import: only where there is a pipeline

    return _holds(stored, definition_json(settings), settings)


def _stored(sagemaker: Any, settings: Settings) -> dict[str, Any]:
    try:
        return dict(sagemaker.describe_pipeline(PipelineName=settings.pipeline_name))
    except ClientError as error:
        raise _without_pipeline(error, settings) from None


def _holds(stored: Mapping[str, Any], definition: str, settings: Settings) -> bool:
    return (stored["PipelineDefinition"], stored["RoleArn"]) == (definition, settings.role_arn)


def ensure_bucket(s3: Any, settings: Settings) -> None:
    """Makes the local AWS's bucket. On AWS the bucket, with its encryption and policies, is made on purpose.

    Raises:
        BucketError: it is missing there, or not yours.
    """
    try:
        s3.head_bucket(Bucket=settings.bucket)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "403":
            raise BucketError(f"the bucket {settings.bucket} exists but refuses you: is it yours?") from None
        if code not in ("404", "NoSuchBucket"):
            raise
        if settings.target != "local":
            raise BucketError(
                f"the bucket {settings.bucket} does not exist: make it with "
                f"`aws s3 mb s3://{settings.bucket} --region {settings.region}`, or set SCONES_BUCKET"
            ) from None
        place = {"LocationConstraint": settings.region}
        extra = {} if settings.region == "us-east-1" else {"CreateBucketConfiguration": place}
        s3.create_bucket(Bucket=settings.bucket, **extra)


def _ensure_model_package_group(sagemaker: Any, name: str) -> None:
    try:
        sagemaker.create_model_package_group(
            ModelPackageGroupName=name, ModelPackageGroupDescription="Versions of the scones image classifier"
        )
    except ClientError as error:
        if "already exists" not in error.response["Error"]["Message"].lower():
            raise


def start(
    clients: Clients, settings: Settings, parameters: Mapping[str, str], display_name: str | None = None
) -> str:
    """Starts an execution with some parameters other than their defaults, and returns its ARN.

    Raises:
        ParameterError: one that would not be taken as a setting, or does not go with the definition's image.
        NoPipelineError: there is nothing to start.
    """
    execution_parameters.check(settings, parameters)
    extra = {"PipelineExecutionDisplayName": display_name} if display_name else {}
    try:
        response = clients("sagemaker").start_pipeline_execution(
            PipelineName=settings.pipeline_name,
            PipelineParameters=[{"Name": name, "Value": value} for name, value in parameters.items()],
            **extra,
        )
    except ClientError as error:
        raise _without_pipeline(error, settings) from None
    return str(response["PipelineExecutionArn"])


def stop(sagemaker: Any, arn: str) -> None:
    """Asks the execution to stop; it is Stopping until its running step has."""
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)


def executions(clients: Clients, settings: Settings, limit: int = 20) -> list[Execution]:
    """The newest first."""
    request = {"PipelineName": settings.pipeline_name, "SortBy": "CreationTime", "SortOrder": "Descending"}
    try:
        response = clients("sagemaker").list_pipeline_executions(**request, MaxResults=limit)
    except ClientError as error:
        raise _without_pipeline(error, settings) from None
    return [
        Execution(
            arn=summary["PipelineExecutionArn"],
            status=summary["PipelineExecutionStatus"],
            started=summary["StartTime"],
            modified=summary.get("LastModifiedTime", summary["StartTime"]),
            reason=summary.get("PipelineExecutionFailureReason"),
        )
        for summary in response["PipelineExecutionSummaries"]
    ]


def newest(clients: Clients, settings: Settings) -> Execution:
    found = executions(clients, settings, limit=1)
    if not found:
        raise NoExecutionError(
            f"the pipeline {settings.pipeline_name} was never started: run `scones pipeline start`"
        )
    return found[0]


def resolve(clients: Clients, settings: Settings, reference: str | None) -> str:
    """The ARN of the execution with this ARN or id, or of the newest.

    Raises:
        NoExecutionError: there is none.
    """
    if reference is None:
        return newest(clients, settings).arn
    if reference.startswith("arn:"):
        return reference
    for execution in executions(clients, settings, limit=100):
        if execution.id == reference:
            return execution.arn
    raise NoExecutionError(
        f"the pipeline {settings.pipeline_name} has no execution {reference}: see `scones pipeline list`"
    )


def describe(sagemaker: Any, arn: str) -> Execution:
    response = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    return Execution(
        arn=response["PipelineExecutionArn"],
        status=response["PipelineExecutionStatus"],
        started=response["CreationTime"],
        modified=response["LastModifiedTime"],
        reason=response.get("FailureReason"),
    )


def steps(sagemaker: Any, arn: str) -> list[StepState]:
    """The steps that have been reached, the first to start first."""
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    return [
        StepState(
            name=step["StepName"],
            status=step["StepStatus"],
            started=step.get("StartTime"),
            ended=step.get("EndTime"),
            cached="CacheHitResult" in step,
            # A job's own reason may have several lines; here each is a part of one.
            reason=" ".join(step["FailureReason"].split()) if "FailureReason" in step else None,
            made=next((m["Arn"] for m in step.get("Metadata", {}).values() if m and "Arn" in m), None),
        )
        for page in pages
        for step in page["PipelineExecutionSteps"]
    ]


def definition(sagemaker: Any, arn: str) -> dict[str, Any]:
    """The definition that the execution runs by, which may be older than the pipeline's."""
    answer = sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
    return dict(json.loads(answer["PipelineDefinition"]))


def outputs(sagemaker: Any, processing_job: str) -> dict[str, str]:
    """S3 URIs of a processing job's outputs by their names; the job by its ARN, as in `StepState.made`."""
    job = sagemaker.describe_processing_job(ProcessingJobName=processing_job.rsplit("/", 1)[-1])
    return {
        output["OutputName"]: output["S3Output"]["S3Uri"]
        for output in job["ProcessingOutputConfig"]["Outputs"]
    }


def watch(
    sagemaker: Any, arn: str, interval: float = 2.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[tuple[Execution, list[StepState]]]:
    """The execution and its steps, now and every `interval` seconds, until and including its end."""
    while True:
        execution = describe(sagemaker, arn)  # before its steps: at its end they have all ended
        yield execution, steps(sagemaker, arn)
        if execution.status in TERMINAL:
            return
        sleep(interval)


def require_success(execution: Execution, states: list[StepState]) -> None:
    """Lets an execution pass that succeeded.

    Raises:
        ExecutionFailedError: it did not. With the failed steps' reasons; the execution's own names none.
    """
    if execution.status == "Succeeded":
        return
    reasons = [
        f"{step.name}: {step.reason or 'no reason given'}" for step in states if step.status == "Failed"
    ]
    text = "; ".join(reasons) or execution.reason or "no reason given"
    raise ExecutionFailedError(f"the execution {execution.id} ended as {execution.status}: {text}")


def _without_pipeline(error: ClientError, settings: Settings) -> Exception:
    if not is_missing(error):
        return error
    return NoPipelineError(f"there is no pipeline {settings.pipeline_name}: run `scones pipeline upsert`")
