"""Pipeline executions: started, stopped, retried, looked at; the engine does the running."""

from __future__ import annotations

import secrets
import string
from weakref import WeakKeyDictionary

from localaws.documents import Document
from localaws.sagemaker.engine import announcements, parameters, records, selection
from localaws.sagemaker.engine.context import Context
from localaws.sagemaker.engine.definition import Definition, read_definition
from localaws.sagemaker.engine.expressions import ExpressionError, evaluate
from localaws.sagemaker.engine.threads import Engine
from localaws.sagemaker.errors import ConflictError, ResourceNotFoundError, ValidationError
from localaws.sagemaker.operations import now, operation, page, public
from localaws.sagemaker.pipelines import created_between, find_pipeline, find_version
from localaws.sagemaker.service import SageMakerService

_engines: WeakKeyDictionary[SageMakerService, Engine] = WeakKeyDictionary()


def start(service: SageMakerService) -> None:
    """Takes up what an earlier process left."""
    _engine(service).resume()


def close(service: SageMakerService) -> None:
    engine = _engines.pop(service, None)
    if engine:
        engine.close()


def _engine(service: SageMakerService) -> Engine:
    return _engines.setdefault(service, Engine(service))


@operation("StartPipelineExecution")
def start_pipeline_execution(service: SageMakerService, request: Document) -> Document:
    """Starts an execution of a version, or of the latest. The same ClientRequestToken starts it once."""
    pipeline = find_pipeline(service, request["PipelineName"])
    token = f"{pipeline['PipelineArn']} {request['ClientRequestToken']}"
    version = find_version(service, pipeline, request)
    definition = read_definition(version["_Definition"])
    document = _new_execution(pipeline, version, definition, request)
    document["PipelineExperimentConfig"] = _experiment(service, definition, document)
    arn = document["PipelineExecutionArn"]
    reused = _reused(service, request, definition, pipeline)
    with service.store.transaction():
        known = service.store.get(records.ISSUED, token)
        if known:
            return {"PipelineExecutionArn": known["PipelineExecutionArn"]}
        records.put_token(service.store, token, {"PipelineExecutionArn": arn}, pipeline["PipelineArn"])
        service.store.put(records.EXECUTION, arn, document, parent=pipeline["PipelineArn"])
        for record in reused:
            records.put_step(service.store, arn, record)
    announcements.execution_changed(service, document, None)
    _engine(service).run(arn)
    return {"PipelineExecutionArn": arn}


@operation("StopPipelineExecution")
def stop_pipeline_execution(service: SageMakerService, request: Document) -> Document:
    """Asks an execution to stop: its jobs are stopped, nothing new begins, and at last it is Stopped."""
    arn = request["PipelineExecutionArn"]
    with service.store.transaction():
        execution = records.execution(service.store, arn)
        before = execution["PipelineExecutionStatus"]
        if before not in records.ACTIVE:
            raise ConflictError(f"Pipeline execution {arn} cannot be stopped: it is {before}.")
        execution.update(PipelineExecutionStatus="Stopping", LastModifiedTime=now())
        service.store.put(records.EXECUTION, arn, execution)
    if before != "Stopping":
        announcements.execution_changed(service, execution, before)
    return {"PipelineExecutionArn": arn}


@operation("RetryPipelineExecution")
def retry_pipeline_execution(service: SageMakerService, request: Document) -> Document:
    """Runs the steps of a failed or stopped execution that did not succeed; those that did are kept."""
    arn = request["PipelineExecutionArn"]
    with service.store.transaction():
        execution = records.execution(service.store, arn)
        before = execution["PipelineExecutionStatus"]
        if before not in ("Failed", "Stopped"):
            raise ConflictError(f"Pipeline execution {arn} cannot be retried: it is {before}.")
        for name, record in records.steps(service.store, arn).items():
            if record["StepStatus"] != "Succeeded":
                records.delete_step(service.store, arn, name)
        execution.pop("FailureReason", None)
        execution.update(PipelineExecutionStatus="Executing", LastModifiedTime=now())
        if "ParallelismConfiguration" in request:
            execution["ParallelismConfiguration"] = request["ParallelismConfiguration"]
        service.store.put(records.EXECUTION, arn, execution)
    announcements.execution_changed(service, execution, before)
    _engine(service).run(arn)
    return {"PipelineExecutionArn": arn}


@operation("UpdatePipelineExecution")
def update_pipeline_execution(service: SageMakerService, request: Document) -> Document:
    """Changes the display name, the description or the parallelism, also of an execution that runs."""
    arn = request["PipelineExecutionArn"]
    changed = {key: value for key, value in request.items() if key != "PipelineExecutionArn"}
    with service.store.transaction():
        records.execution(service.store, arn)
        service.store.update(
            records.EXECUTION, arn, lambda document: document.update(changed, LastModifiedTime=now())
        )
    return {"PipelineExecutionArn": arn}


@operation("DescribePipelineExecution")
def describe_pipeline_execution(service: SageMakerService, request: Document) -> Document:
    return public(records.execution(service.store, request["PipelineExecutionArn"]))


@operation("DescribePipelineDefinitionForExecution")
def describe_pipeline_definition_for_execution(service: SageMakerService, request: Document) -> Document:
    execution = records.execution(service.store, request["PipelineExecutionArn"])
    text = records.definition_text(service.store, execution)
    return {"PipelineDefinition": text, "CreationTime": execution["CreationTime"]}


@operation("ListPipelineParametersForExecution")
def list_pipeline_parameters_for_execution(service: SageMakerService, request: Document) -> Document:
    execution = records.execution(service.store, request["PipelineExecutionArn"])
    values = execution["_Parameters"].items()
    shown = [{"Name": name, "Value": parameters.to_text(value)} for name, value in values]
    return page(shown, request | {"SortOrder": "Ascending"}, member="PipelineParameters")


@operation("ListPipelineExecutions")
def list_pipeline_executions(service: SageMakerService, request: Document) -> Document:
    pipeline = find_pipeline(service, request["PipelineName"])
    executions = service.store.list(records.EXECUTION, parent=pipeline["PipelineArn"])
    if "PipelineVersionAlias" in request:
        number = find_version(service, pipeline, request)["PipelineVersionId"]
        executions = [each for each in executions if each["PipelineVersionId"] == number]
    return page(
        executions,
        created_between(request),
        member="PipelineExecutionSummaries",
        summary=_summary,
        sort={"CreationTime": "CreationTime", "PipelineExecutionArn": "PipelineExecutionArn"},
    )


@operation("ListPipelineExecutionSteps")
def list_pipeline_execution_steps(service: SageMakerService, request: Document) -> Document:
    """The steps that the execution has come to, the last first unless the request says otherwise."""
    arn = request.get("PipelineExecutionArn", "")
    records.execution(service.store, arn)
    found = list(records.steps(service.store, arn).values())
    sort = {"CreationTime": "_Sequence"}
    return page(found, request, member="PipelineExecutionSteps", sort=sort)


@operation("SendPipelineExecutionStepSuccess")
def send_pipeline_execution_step_success(service: SageMakerService, request: Document) -> Document:
    given = request.get("OutputParameters") or []
    outputs = {each["Name"]: each["Value"] for each in given}
    return _answer_callback(service, request["CallbackToken"], {"Outputs": outputs})


@operation("SendPipelineExecutionStepFailure")
def send_pipeline_execution_step_failure(service: SageMakerService, request: Document) -> Document:
    reason = request.get("FailureReason") or "The callback step was answered with a failure."
    return _answer_callback(service, request["CallbackToken"], {"Failure": reason})


def _answer_callback(service: SageMakerService, token: str, answer: Document) -> Document:
    waiting = service.store.get(records.ISSUED, token)
    if waiting is None:
        raise ResourceNotFoundError(f"No callback step waits for the token {token}.")
    arn, step = waiting["Execution"], waiting["Step"]
    with service.store.transaction():
        record = records.steps(service.store, arn).get(step, {})
        current = record.get("Metadata", {}).get("Callback", {}).get("CallbackToken") == token
        if not current or record["StepStatus"] not in records.RUNNING or "_Answer" in record:
            raise ConflictError(f"Step {step} of {arn} has ended; it no longer waits for the token {token}.")
        records.update_step(service.store, arn, step, lambda kept: kept.update(_Answer=answer))
    return {"PipelineExecutionArn": arn}


def _new_execution(
    pipeline: Document, version: Document, definition: Definition, request: Document
) -> Document:
    alphabet = string.ascii_lowercase + string.digits
    identity = "".join(secrets.choice(alphabet) for _ in range(12))
    moment = now()
    return {
        "PipelineArn": pipeline["PipelineArn"],
        "PipelineExecutionArn": f"{pipeline['PipelineArn']}/execution/{identity}",
        "PipelineExecutionDisplayName": request.get(
            "PipelineExecutionDisplayName", f"execution-{int(moment * 1000)}"
        ),
        "PipelineExecutionDescription": request.get("PipelineExecutionDescription"),
        "PipelineExecutionStatus": "Executing",
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "ParallelismConfiguration": request.get(
            "ParallelismConfiguration", pipeline.get("ParallelismConfiguration")
        ),
        "SelectiveExecutionConfig": request.get("SelectiveExecutionConfig"),
        "PipelineVersionId": version["PipelineVersionId"],
        "RoleArn": request.get("RoleArn", pipeline.get("RoleArn")),
        "_PipelineName": pipeline["PipelineName"],
        "_Parameters": parameters.values_for(definition.parameters, request.get("PipelineParameters") or []),
    }


def _experiment(service: SageMakerService, definition: Definition, execution: Document) -> Document | None:
    """The names of the experiment and trial. There are no experiments here; the names are only shown."""
    if not definition.experiment:
        return None
    try:
        return evaluate(definition.experiment, Context(service, definition, execution).scope())
    except ExpressionError as error:
        raise ValidationError(f"PipelineExperimentConfig: {error}") from error


def _reused(
    service: SageMakerService, request: Document, definition: Definition, pipeline: Document
) -> list[Document]:
    config = request.get("SelectiveExecutionConfig")
    if not config:
        return []
    selected = selection.selected_steps(config, definition)
    needed = selection.needed_steps(selected, definition)
    source = config.get("SourcePipelineExecutionArn")
    if source is None:
        if needed:
            raise ValidationError(
                "SelectiveExecutionConfig: the selected steps need the results of "
                f"{', '.join(sorted(needed))}, so a SourcePipelineExecutionArn must be given."
            )
        return []
    execution = records.execution(service.store, source)
    if execution["PipelineArn"] != pipeline["PipelineArn"]:
        raise ValidationError(f"SelectiveExecutionConfig: {source} is an execution of another pipeline.")
    if execution["PipelineExecutionStatus"] in records.ACTIVE:
        raise ValidationError(f"SelectiveExecutionConfig: {source} has not ended yet.")
    return selection.reused_records(selected, definition, source, records.steps(service.store, source))


def _summary(execution: Document) -> Document:
    members = (
        "PipelineExecutionArn",
        "PipelineExecutionStatus",
        "PipelineExecutionDescription",
        "PipelineExecutionDisplayName",
    )
    summary = {key: execution.get(key) for key in members}
    return summary | {
        "StartTime": execution["CreationTime"],
        "PipelineExecutionFailureReason": execution.get("FailureReason"),
    }
