"""The events that pipelines put on EventBridge.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from localaws.documents import Document
from localaws.sagemaker.engine.definition import Step
from localaws.sagemaker.service import SageMakerService

EXECUTION_CHANGE = "SageMaker Model Building Pipeline Execution Status Change"
STEP_CHANGE = "SageMaker Model Building Pipeline Execution Step Status Change"


def execution_changed(service: SageMakerService, execution: Document, before: str | None) -> None:
    status, ended = execution["PipelineExecutionStatus"], execution["LastModifiedTime"]
    detail = {
        "pipelineExecutionDescription": execution.get("PipelineExecutionDescription"),
        "pipelineExecutionDisplayName": execution.get("PipelineExecutionDisplayName"),
        "currentPipelineExecutionStatus": status,
        "previousPipelineExecutionStatus": before,
        "executionStartTime": _moment(execution["CreationTime"]),
        "executionEndTime": _moment(ended) if status not in ("Executing", "Stopping") else None,
    }
    _emit(service, EXECUTION_CHANGE, execution, detail)


def step_changed(
    service: SageMakerService, execution: Document, step: Step, before: str | None, record: Document
) -> None:
    detail = {
        "metadata": {_lower(key): _lowered(value) for key, value in record.get("Metadata", {}).items()},
        "stepName": step.name,
        "stepType": step.type,
        "currentStepStatus": record["StepStatus"],
        "previousStepStatus": before,
        "stepStartTime": _moment(record["StartTime"]),
        "stepEndTime": _moment(record["EndTime"]) if "EndTime" in record else None,
        "cacheHitResult": _lowered(record["CacheHitResult"]) if "CacheHitResult" in record else None,
        "failureReason": record.get("FailureReason"),
    }
    _emit(service, STEP_CHANGE, execution, detail)


def _emit(service: SageMakerService, what: str, execution: Document, detail: Document) -> None:
    arns = {
        "pipelineArn": execution["PipelineArn"],
        "pipelineExecutionArn": execution["PipelineExecutionArn"],
    }
    present = {key: value for key, value in detail.items() if value is not None}
    service.emit(what, list(arns.values()), present | arns)


def _lowered(value: Any) -> Any:
    if isinstance(value, dict):
        return {_lower(key): _lowered(item) for key, item in value.items()}
    return value


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
