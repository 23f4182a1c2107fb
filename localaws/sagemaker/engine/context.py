"""What a step's kind is handed: the service, the execution, and the values that expressions name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.documents import Document
from localaws.operations import Operation
from localaws.sagemaker.engine import paths
from localaws.sagemaker.engine.definition import Definition
from localaws.sagemaker.engine.expressions import ExpressionError, Scope
from localaws.sagemaker.engine.parameters import Value
from localaws.sagemaker.engine.records import Records
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.transfers import TransferError, parse_uri
from localaws.timestamps import iso_milliseconds


@dataclass
class Context:
    """One execution while it is run by this process.

    Attributes:
        execution: the execution's document as it was last read.
        records: its steps' records as they were last read.
        calls: the steps whose Lambda function this process is waiting for.
    """

    service: SageMakerService
    definition: Definition
    execution: Document
    records: Records = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)

    @property
    def arn(self) -> str:
        return self.execution["PipelineExecutionArn"]

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def s3(self) -> Any:
        return self.service.stack.client("s3", self.role)

    @property
    def role(self) -> str | None:
        """What the execution's pipeline runs as."""
        return self.execution.get("RoleArn")

    def call(self, operation: str, request: Document) -> Document:
        """A SageMaker operation, as the pipeline's role. Raises SageMakerError."""
        calls = self.service.stack.calls
        if calls and self.role:
            calls.note(self.role, Operation("sagemaker", operation, changes=False), request)
        return self.service.call(operation, request)

    def scope(self, job_name: str | None = None) -> Scope:
        """What expressions see; `job_name` is the job's that they are about to be part of."""
        return _Scope(self, job_name)

    def tags(self, step: str) -> list[Document]:
        """The tags that pipelines put on what a step makes."""
        return [
            {"Key": "sagemaker:pipeline-execution-arn", "Value": self.arn},
            {"Key": "sagemaker:pipeline-name", "Value": self.execution["_PipelineName"]},
            {"Key": "sagemaker:pipeline-step-name", "Value": step},
        ]


@dataclass(frozen=True)
class _Scope:
    context: Context
    job_name: str | None

    def parameter(self, name: str) -> Value:
        return self.context.execution["_Parameters"][name]

    def execution_variable(self, name: str) -> str:
        execution = self.context.execution
        if name in ("TrainingJobName", "ProcessingJobName"):
            if self.job_name is None:
                raise ExpressionError(f"Execution.{name} has a value only in the arguments of such a job.")
            return self.job_name
        return {
            "StartDateTime": iso_milliseconds(datetime.fromtimestamp(execution["CreationTime"], UTC)),
            "CurrentDateTime": iso_milliseconds(datetime.now(UTC)),
            "PipelineName": execution["_PipelineName"],
            "PipelineArn": execution["PipelineArn"],
            "PipelineExecutionId": self.context.id,
            "PipelineExecutionArn": self.context.arn,
        }[name]

    def step_properties(self, step: str) -> Document:
        record = self.context.records.get(step)
        if record is None or record["StepStatus"] != "Succeeded":
            raise ExpressionError(f"Step {step!r} has no properties: it did not succeed in this execution.")
        return record.get("_Properties", {})

    def property_file(self, step: str, name: str) -> Any:
        file = self.context.definition.steps[step].property_files[name]
        path = ("ProcessingOutputConfig", "Outputs", file["OutputName"], "S3Output", "S3Uri")
        try:
            folder = paths.look_up(self.step_properties(step), path)
        except paths.PathError as error:
            raise ExpressionError(
                f"The property file {name!r} of step {step!r} cannot be found. {error}"
            ) from error
        return self.json_file(f"{folder.rstrip('/')}/{file['FilePath']}")

    def json_file(self, uri: str) -> Any:
        try:
            location = parse_uri(uri)
            body = self.context.s3.get_object(Bucket=location.bucket, Key=location.key)["Body"].read()
        except (ClientError, BotoCoreError, TransferError) as error:
            raise ExpressionError(f"{uri} cannot be read: {error}") from error
        try:
            return json.loads(body)
        except ValueError as error:
            raise ExpressionError(f"{uri} is not valid JSON: {error}.") from error
