"""Pipelines: their definitions, checked when they are stored, and the versions of those."""

from __future__ import annotations

from botocore.exceptions import ClientError

from localaws.documents import Document
from localaws.sagemaker.engine import records
from localaws.sagemaker.engine.step_types import runnable
from localaws.sagemaker.engine.validation import check_definition
from localaws.sagemaker.errors import ConflictError, ResourceNotFoundError, ValidationError
from localaws.sagemaker.operations import HANDLERS, now, operation, page, public, tags_of
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.tags import drop_tags, set_tags

_DESCRIPTION = ("PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration")


@operation("CreatePipeline")
def create_pipeline(service: SageMakerService, request: Document) -> Document:
    """Stores a pipeline and its first version. The same ClientRequestToken makes it once."""
    name, token = request["PipelineName"], request["ClientRequestToken"]
    text = _definition_text(service, request)
    moment = now()
    document = {
        "PipelineArn": service.stack.arn(f"pipeline/{name}"),
        "PipelineName": name,
        "PipelineDisplayName": request.get("PipelineDisplayName", name),
        **{key: request[key] for key in _DESCRIPTION if key in request},
        "PipelineStatus": "Active",
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "_ClientRequestToken": token,
        "_Version": 0,
    }
    with service.store.transaction():
        existing = service.store.get(records.PIPELINE, name)
        if existing and existing["_ClientRequestToken"] == token:
            return {"PipelineArn": existing["PipelineArn"]}
        if existing:
            raise ValidationError(
                "Pipeline names must be unique within an AWS account and region. "
                f"Pipeline with name ({name}) already exists."
            )
        service.store.put(records.PIPELINE, name, document)
        _add_version(service, name, text, request.get("PipelineVersionAliases") or [])
        set_tags(service, document["PipelineArn"], tags_of(request))
    return {"PipelineArn": document["PipelineArn"]}


@operation("UpdatePipeline")
def update_pipeline(service: SageMakerService, request: Document) -> Document:
    """Changes what is given; a definition becomes the pipeline's next version."""
    document = find_pipeline(service, request["PipelineName"])
    name = document["PipelineName"]
    given = "PipelineDefinition" in request or "PipelineDefinitionS3Location" in request
    text = _definition_text(service, request) if given else None
    changed = {key: request[key] for key in _DESCRIPTION if key in request} | {"LastModifiedTime": now()}
    with service.store.transaction():
        service.store.update(records.PIPELINE, name, lambda kept: kept.update(changed))
        if text is not None:
            _add_version(service, name, text, request.get("PipelineVersionAliases") or [])
        document = find_pipeline(service, name)
    return {"PipelineArn": document["PipelineArn"], "PipelineVersionId": document["_Version"]}


@operation("DescribePipeline")
def describe_pipeline(service: SageMakerService, request: Document) -> Document:
    pipeline = find_pipeline(service, request["PipelineName"])
    version = find_version(service, pipeline, request)
    ran = service.store.list(records.EXECUTION, parent=pipeline["PipelineArn"])
    last = max((execution["CreationTime"] for execution in ran), default=None)
    described = pipeline | {"PipelineDefinition": version["_Definition"], "LastRunTime": last}
    for member in ("PipelineVersionDisplayName", "PipelineVersionDescription", "PipelineVersionAliases"):
        described[member] = version.get(member) or None
    return public(described)


@operation("DeletePipeline")
def delete_pipeline(service: SageMakerService, request: Document) -> Document:
    """Forgets a pipeline with its versions and executions; the jobs that they ran stay."""
    pipeline = find_pipeline(service, request["PipelineName"])
    arn = pipeline["PipelineArn"]
    with service.store.transaction():
        executions = service.store.list(records.EXECUTION, parent=arn)
        running = [each for each in executions if each["PipelineExecutionStatus"] in records.ACTIVE]
        if running:
            first = running[0]["PipelineExecutionArn"]
            raise ConflictError(
                f"Pipeline {arn} cannot be deleted while it is executing: stop {first} first."
            )
        records.delete_pipeline(service.store, pipeline)
        drop_tags(service, arn)
    return {"PipelineArn": arn}


@operation("ListPipelines")
def list_pipelines(service: SageMakerService, request: Document) -> Document:
    def summary(pipeline: Document) -> Document:
        ran = service.store.list(records.EXECUTION, parent=pipeline["PipelineArn"])
        last = max((execution["CreationTime"] for execution in ran), default=None)
        members = ("PipelineArn", "PipelineName", "CreationTime", "LastModifiedTime", *_DESCRIPTION[:3])
        return {key: pipeline[key] for key in members if key in pipeline} | {"LastExecutionTime": last}

    prefix = request.get("PipelineNamePrefix", "").lower()
    pipelines = service.store.list(records.PIPELINE)
    return page(
        [each for each in pipelines if each["PipelineName"].lower().startswith(prefix)],
        created_between(request),
        member="PipelineSummaries",
        summary=summary,
        sort={"CreationTime": "CreationTime", "Name": "PipelineName"},
    )


@operation("ListPipelineVersions")
def list_pipeline_versions(service: SageMakerService, request: Document) -> Document:
    pipeline = find_pipeline(service, request["PipelineName"])
    return page(
        service.store.list(records.VERSION, parent=pipeline["PipelineArn"]),
        created_between(request),
        member="PipelineVersionSummaries",
        sort={"PipelineVersionId": "PipelineVersionId"},
    )


@operation("UpdatePipelineVersion")
def update_pipeline_version(service: SageMakerService, request: Document) -> Document:
    """Names and describes a version, and gives it aliases; another version that has one loses it."""
    pipeline = find_pipeline(service, request["PipelineArn"])
    version = find_version(service, pipeline, request)
    aliases = request.get("PipelineVersionAliasOperations") or {}
    key = records.version_key(pipeline["PipelineArn"], version["PipelineVersionId"])

    def change(document: Document) -> None:
        for member in ("PipelineVersionDisplayName", "PipelineVersionDescription"):
            if member in request:
                document[member] = request[member]
        kept = [
            alias for alias in document["PipelineVersionAliases"] if alias not in aliases.get("Remove", [])
        ]
        document["PipelineVersionAliases"] = kept + [
            each for each in aliases.get("Add", []) if each not in kept
        ]

    with service.store.transaction():
        _take_aliases(service, pipeline["PipelineArn"], aliases.get("Add", []))
        service.store.update(records.VERSION, key, change)
    return {"PipelineArn": pipeline["PipelineArn"], "PipelineVersionId": version["PipelineVersionId"]}


def find_pipeline(service: SageMakerService, name_or_arn: str) -> Document:
    """Raises ResourceNotFoundError, in SageMaker's words."""
    name = name_or_arn.rpartition("/")[2]
    document = service.store.get(records.PIPELINE, name)
    if document is None:
        raise ResourceNotFoundError(f"Pipeline '{service.stack.arn(f'pipeline/{name}')}' does not exist.")
    return document


def find_version(service: SageMakerService, pipeline: Document, request: Document) -> Document:
    """The version that the request names, or the latest. Raises ResourceNotFoundError."""
    arn, alias = pipeline["PipelineArn"], request.get("PipelineVersionAlias")
    if alias is not None:
        for version in service.store.list(records.VERSION, parent=arn):
            if alias in version["PipelineVersionAliases"]:
                return version
        raise ResourceNotFoundError(f"Pipeline '{arn}' has no version with the alias {alias}.")
    number = request.get("PipelineVersionId") or pipeline["_Version"]
    found = service.store.get(records.VERSION, records.version_key(arn, number))
    if found is None:
        raise ResourceNotFoundError(f"Pipeline '{arn}' has no version {number}.")
    return found


def created_between(request: Document) -> Document:
    """Pipelines say CreatedAfter and CreatedBefore where other lists say CreationTimeAfter and -Before."""
    names = {"CreatedAfter": "CreationTimeAfter", "CreatedBefore": "CreationTimeBefore"}
    return {names.get(key, key): value for key, value in request.items()}


def _add_version(service: SageMakerService, name: str, text: str, aliases: list[str]) -> None:
    def count(document: Document) -> None:
        document["_Version"] += 1

    pipeline = service.store.update(records.PIPELINE, name, count)
    arn, number = pipeline["PipelineArn"], pipeline["_Version"]
    _take_aliases(service, arn, aliases)
    version = {
        "PipelineArn": arn,
        "PipelineVersionId": number,
        "PipelineVersionAliases": aliases,
        "CreationTime": now(),
        "_Definition": text,
    }
    service.store.put(records.VERSION, records.version_key(arn, number), version, parent=arn)


def _take_aliases(service: SageMakerService, arn: str, aliases: list[str]) -> None:
    for version in service.store.list(records.VERSION, parent=arn):
        kept = [alias for alias in version["PipelineVersionAliases"] if alias not in aliases]
        if kept != version["PipelineVersionAliases"]:
            key = records.version_key(arn, version["PipelineVersionId"])
            service.store.put(records.VERSION, key, version | {"PipelineVersionAliases": kept})


def _definition_text(service: SageMakerService, request: Document) -> str:
    """The definition that the request holds or points to, if it is one that can run here."""
    text, location = request.get("PipelineDefinition"), request.get("PipelineDefinitionS3Location")
    if bool(text) == bool(location):
        raise ValidationError("Give either PipelineDefinition or PipelineDefinitionS3Location.")
    if location:
        text = _fetch(service, location)
    check_definition(str(text), runnable(HANDLERS))
    return str(text)


def _fetch(service: SageMakerService, location: Document) -> str:
    version = {"VersionId": location["VersionId"]} if "VersionId" in location else {}
    try:
        answer = service.stack.client("s3").get_object(
            Bucket=location["Bucket"], Key=location["ObjectKey"], **version
        )
        return answer["Body"].read().decode()
    except (ClientError, UnicodeDecodeError) as error:
        where = f"s3://{location['Bucket']}/{location['ObjectKey']}"
        raise ValidationError(f"The pipeline definition at {where} cannot be read: {error}") from error
