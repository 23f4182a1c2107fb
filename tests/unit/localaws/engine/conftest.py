"""A SageMaker whose jobs are scripted and whose pipelines are the real ones.

def test_something(sagemaker, make):
    sagemaker.script("Train", ("Failed", "AlgorithmError: boom"))
    execution = sagemaker.run(make.pipeline(make.training("Train")))
    assert execution.status == "Failed"
"""

from __future__ import annotations

import io
import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

import localaws.sagemaker.pipeline_executions as executions
import localaws.sagemaker.pipelines  # noqa: F401 - registers its operations
from localaws.sagemaker.checks import check_request
from localaws.sagemaker.errors import SageMakerError, ValidationError
from localaws.sagemaker.operations import HANDLERS
from localaws.sagemaker.store import Store
from localaws.stack import Stack

Document = dict[str, Any]

MODEL = botocore.session.get_session().get_service_model("sagemaker")
ROLE = "arn:aws:iam::123456789012:role/pipelines"
JOBS = ("ProcessingJob", "TrainingJob", "TransformJob", "HyperParameterTuningJob")
TIMEOUT = 20  # seconds: how long a test waits for what must happen


@dataclass(frozen=True)
class FakeStack(Stack):
    """A stack without a gateway; its clients are objects of the test."""

    clients: dict[str, Any] = field(default_factory=dict, hash=False)

    def client(self, service: str, _role: str | None = None) -> Any:
        return self.clients[service]

    def new_client(self, service: str, role: str | None = None, **_config: Any) -> Any:
        return self.client(service, role)


class KilledError(BaseException):
    """Stands for a `kill -9`: nothing catches it."""


class MortalStore(Store):
    """A store whose process is killed when it has written so often."""

    writes_left: int | None = None

    def put(self, kind: str, name: str, document: Document, parent: str = "") -> None:
        if self.writes_left == 0:
            raise KilledError
        if self.writes_left is not None:
            self.writes_left -= 1
        super().put(kind, name, document, parent)


class FakeS3:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get_object(self, Bucket: str, Key: str) -> Document:  # noqa: N803
        try:
            return {"Body": io.BytesIO(self.objects[f"s3://{Bucket}/{Key}"])}
        except KeyError:
            error = {"Error": {"Code": "NoSuchKey", "Message": "The specified key does not exist."}}
            raise ClientError(error, "GetObject") from None


class FakeSqs:
    def __init__(self) -> None:
        self.messages: list[Document] = []

    def send_message(self, QueueUrl: str, MessageBody: str) -> Document:  # noqa: N803
        self.messages.append(json.loads(MessageBody) | {"queue": QueueUrl})
        return {}


class FakeLambda:
    def __init__(self) -> None:
        self.functions: dict[str, Callable[[Document], Any]] = {}
        self.invocations: list[Document] = []

    def invoke(self, FunctionName: str, Payload: bytes) -> Document:  # noqa: N803
        self.invocations.append(json.loads(Payload))
        try:
            result = self.functions[FunctionName](json.loads(Payload))
        except ValueError as error:
            result = {"errorType": "ValueError", "errorMessage": str(error)}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(result).encode())}
        return {"Payload": io.BytesIO(json.dumps(result).encode())}


class FakeSageMaker:
    """The service as the engine sees it.

    Jobs end at once as Completed, unless `script` says how, or `hold` that they wait for `finish`.
    """

    def __init__(self, root: Path) -> None:
        self.s3, self.sqs, self.functions = FakeS3(), FakeSqs(), FakeLambda()
        clients = {"s3": self.s3, "sqs": self.sqs, "lambda": self.functions}
        self.stack = FakeStack(root=root, port=1, store=MortalStore(root / "sagemaker.db"), clients=clients)
        self.store = self.stack.store
        self.calls: list[tuple[str, Document]] = []
        self.events: list[tuple[str, Document]] = []
        self.scripts: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.refusals: dict[str, list[SageMakerError]] = defaultdict(list)
        self.held: set[str] = set()
        # Of the store: whoever waits for a write holds it, and asks the fake whether that was the one.
        self.lock = self.store.changed

    # --- the interface of the service ---

    def call(self, name: str, request: Document) -> Document:
        operation = MODEL.operation_model(name)
        check_request(operation, request)
        if "Pipeline" in name:
            answer = HANDLERS[name](self, request)
            # An answer must fit its shape as a request must: clients parse it by the same model.
            check_request(SimpleNamespace(input_shape=operation.output_shape), answer)
            return answer
        with self.lock:
            if not name.startswith("Describe"):
                self.calls.append((name, request))
            for kind in JOBS:
                if name.endswith(kind) and not name.startswith("List"):
                    return getattr(self, name.removesuffix(kind).lower())(kind, request)
            return getattr(self, f"_{name}")(request)

    def emit(self, detail_type: str, resources: list[str], detail: Document) -> None:
        assert detail["pipelineExecutionArn"] in resources
        self.events.append((detail_type, detail))

    # --- scripted jobs ---

    def create(self, kind: str, request: Document) -> Document:
        name = request[f"{kind}Name"]
        step = self.step_of(request)
        if self.refusals[step]:
            raise self.refusals[step].pop(0)
        if self.store.get(kind, name):
            raise AssertionError(f"{kind} {name} is made twice")
        arn = self.stack.arn(f"{_hyphens(kind)}/{name}")
        status, reason = self.scripts[step][0] if self.scripts[step] else ("Completed", "")
        document = request | {f"{kind}Arn": arn, f"{kind}Status": status, "FailureReason": reason or None}
        if step in self.held:
            document |= {f"{kind}Status": "InProgress", "_Then": (status, reason)}
        if kind == "TrainingJob":
            folder = f"{request['OutputDataConfig']['S3OutputPath']}/{name}/output/model.tar.gz"
            document["ModelArtifacts"] = {"S3ModelArtifacts": folder}
        self.store.put(kind, name, document)
        del self.scripts[step][:1]  # only now: a kill in the line before made no job
        return {f"{kind}Arn": arn}

    def describe(self, kind: str, request: Document) -> Document:
        document = self.store.get(kind, request[f"{kind}Name"])
        if document is None:
            raise ValidationError("Requested resource not found.")
        return {key: value for key, value in document.items() if key != "_Then"}

    def stop(self, kind: str, request: Document) -> Document:
        self.store.update(kind, request[f"{kind}Name"], lambda job: job.update({f"{kind}Status": "Stopped"}))
        return {}

    @staticmethod
    def step_of(request: Document) -> str:
        tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        return tags["sagemaker:pipeline-step-name"]

    def script(self, step: str, *outcomes: tuple[str, str]) -> None:
        """How the step's jobs end, one after the other; those after the last are Completed."""
        self.scripts[step].extend(outcomes)

    def refuse(self, step: str, *errors: SageMakerError) -> None:
        """What the first calls that create the step's job answer."""
        self.refusals[step].extend(errors)

    def hold(self, *steps: str) -> None:
        self.held.update(steps)

    def release(self, step: str) -> None:
        """Ends the step's running job as the script says."""
        with self.lock:  # not between a job's look at `held` and its document
            self.held.discard(step)
            for kind in JOBS:
                for job in self.store.list(kind):
                    if job.get("_Then") and self.step_of(job) == step:
                        status, reason = job.pop("_Then")
                        job |= {f"{kind}Status": status, "FailureReason": reason or None}
                        self.store.put(kind, job[f"{kind}Name"], job)

    # --- the registry, as far as a step needs it ---

    def _DescribeModelPackageGroup(self, request: Document) -> Document:  # noqa: N802
        group = self.store.get("ModelPackageGroup", request["ModelPackageGroupName"])
        if group is None:
            raise ValidationError("The group does not exist.")
        return group

    def _CreateModelPackageGroup(self, request: Document) -> Document:  # noqa: N802
        self.store.put("ModelPackageGroup", request["ModelPackageGroupName"], request)
        return {}

    def _CreateModel(self, request: Document) -> Document:  # noqa: N802
        self.store.put("Model", request["ModelName"], request)
        return {}

    def _DescribeModel(self, request: Document) -> Document:  # noqa: N802
        model = self.store.get("Model", request["ModelName"])
        if model is None:
            raise ValidationError("Could not find model.")
        return model | {"ModelArn": self.stack.arn(f"model/{request['ModelName']}")}

    def _ListTrainingJobsForHyperParameterTuningJob(self, request: Document) -> Document:  # noqa: N802
        assert (request["SortBy"], request["SortOrder"]) == ("FinalObjectiveMetricValue", "Descending")
        return {"TrainingJobSummaries": [{"TrainingJobName": "best"}, {"TrainingJobName": "second"}]}

    def _CreateModelPackage(self, request: Document) -> Document:  # noqa: N802
        for package in self.store.list("ModelPackage"):
            if package["ClientToken"] == request["ClientToken"]:
                return {"ModelPackageArn": package["ModelPackageArn"]}
        version = len(self.store.list("ModelPackage")) + 1
        arn = self.stack.arn(f"model-package/{request['ModelPackageGroupName']}/{version}")
        package = request | {"ModelPackageArn": arn, "ModelPackageStatus": "Completed"}
        self.store.put("ModelPackage", arn, package)
        return {"ModelPackageArn": arn}

    def _DescribeModelPackage(self, request: Document) -> Document:  # noqa: N802
        package = self.store.get("ModelPackage", request["ModelPackageName"])
        assert package is not None
        return package

    # --- what tests do ---

    def create_pipeline(self, definition: Document | str, name: str = "p") -> str:
        text = definition if isinstance(definition, str) else json.dumps(definition)
        request = {
            "PipelineName": name,
            "PipelineDefinition": text,
            "RoleArn": ROLE,
            "ClientRequestToken": token(),
        }
        return self.call("CreatePipeline", request)["PipelineArn"]

    def update_pipeline(self, definition: Document, name: str = "p") -> Document:
        return self.call(
            "UpdatePipeline", {"PipelineName": name, "PipelineDefinition": json.dumps(definition)}
        )

    def start(self, name: str = "p", parameters: Document | None = None, **more: Any) -> Execution:
        given = [{"Name": key, "Value": value} for key, value in (parameters or {}).items()]
        request = {"PipelineName": name, "PipelineParameters": given, "ClientRequestToken": token()} | more
        return Execution(self, self.call("StartPipelineExecution", request)["PipelineExecutionArn"])

    def run(self, definition: Document | None = None, **more: Any) -> Execution:
        """Creates the pipeline, if a definition is given, and runs it to its end."""
        if definition is not None:
            self.create_pipeline(definition)
        return self.start(**more).wait()

    def made(self, operation: str) -> list[Document]:
        """The requests that an operation was called with."""
        return [request for name, request in self.calls if name == operation]

    def restart(self) -> None:
        """What a new process does with what the last one left."""
        executions.close(self)
        executions.start(self)


@dataclass
class Execution:
    sagemaker: FakeSageMaker
    arn: str

    def describe(self) -> Document:
        return self.sagemaker.call("DescribePipelineExecution", {"PipelineExecutionArn": self.arn})

    @property
    def status(self) -> str:
        return self.describe()["PipelineExecutionStatus"]

    @property
    def steps(self) -> dict[str, Document]:
        request = {"PipelineExecutionArn": self.arn, "SortOrder": "Ascending"}
        listed = self.sagemaker.call("ListPipelineExecutionSteps", request)["PipelineExecutionSteps"]
        return {step["StepName"]: step for step in listed}

    @property
    def statuses(self) -> dict[str, str]:
        return {name: step["StepStatus"] for name, step in self.steps.items()}

    def wait(self) -> Execution:
        self.until(lambda: self.status not in ("Executing", "Stopping"))
        return self

    def until(self, predicate: Callable[[], Any]) -> None:
        assert self.sagemaker.store.wait_for(predicate, TIMEOUT), (self.describe(), self.steps)

    def until_step(self, step: str, status: str) -> None:
        self.until(lambda: self.statuses.get(step) == status)

    def send(self, operation: str, **more: Any) -> Document:
        request = {"PipelineExecutionArn": self.arn, "ClientRequestToken": token()} | more
        return self.sagemaker.call(operation, request)


def _elsewhere(_service: Any, _request: Document) -> Document:
    raise AssertionError("the fake answers this itself")


def token() -> str:
    return uuid.uuid4().hex


def _hyphens(kind: str) -> str:
    return {
        "ProcessingJob": "processing-job",
        "TrainingJob": "training-job",
        "TransformJob": "transform-job",
    }.get(kind, "hyper-parameter-tuning-job")


# --- definitions ---


def pipeline(*steps: Document, parameters: list[Document] | None = None, **more: Any) -> Document:
    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": parameters or [],
        "Steps": list(steps),
    } | more


def parameter(name: str, kind: str = "String", default: Any = None, **more: Any) -> Document:
    return {"Name": name, "Type": kind} | ({} if default is None else {"DefaultValue": default}) | more


def processing(
    name: str, inputs: list[Any] | None = None, environment: Document | None = None, **more: Any
) -> Document:
    """A processing step with one output, `out`, at s3://bucket/<execution>/<name>."""
    uri = join("/", "s3://bucket", get("Execution.PipelineExecutionId"), name)
    arguments = {
        "AppSpecification": {"ImageUri": "image"},
        "RoleArn": ROLE,
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
        },
        "ProcessingInputs": [
            {
                "InputName": f"input-{number}",
                "S3Input": {
                    "S3Uri": value,
                    "LocalPath": "/opt/ml/in",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
            for number, value in enumerate(inputs or [])
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {"S3Uri": uri, "LocalPath": "/opt/ml/out", "S3UploadMode": "EndOfJob"},
                }
            ]
        },
        "Environment": environment or {},
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments} | more


def training(
    name: str, data: Any = "s3://bucket/data", hyperparameters: Document | None = None, **more: Any
) -> Document:
    arguments = {
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "HyperParameters": hyperparameters or {},
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": data}},
            }
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    return {"Name": name, "Type": "Training", "Arguments": arguments} | more


def register(name: str, model: Any, **more: Any) -> Document:
    arguments = {
        "ModelPackageGroupName": "models",
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [{"Image": "image", "ModelDataUrl": model}],
            "SupportedContentTypes": ["image/png"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    }
    return {"Name": name, "Type": "RegisterModel", "Arguments": arguments} | more


def condition(
    name: str, conditions: list[Document], then: list[Document], otherwise: list[Document]
) -> Document:
    arguments = {"Conditions": conditions, "IfSteps": then, "ElseSteps": otherwise}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


def fail(name: str, message: Any) -> Document:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def compare(kind: str, left: Any, right: Any) -> Document:
    return {"Type": kind, "LeftValue": left, "RightValue": right}


def get(reference: str) -> Document:
    return {"Get": reference}


def join(on: str, *values: Any) -> Document:
    return {"Std:Join": {"On": on, "Values": list(values)}}


def json_get(step: str, file: str, path: str) -> Document:
    return {"Std:JsonGet": {"PropertyFile": get(f"Steps.{step}.PropertyFiles.{file}"), "Path": path}}


@pytest.fixture
def make() -> SimpleNamespace:
    """Builds definitions."""
    names = (
        pipeline,
        parameter,
        processing,
        training,
        register,
        condition,
        fail,
        compare,
        get,
        join,
        json_get,
    )
    return SimpleNamespace(**{each.__name__: each for each in names})


@pytest.fixture
def sagemaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSageMaker]:
    # The jobs' operations are the fake's own: they only have to be there.
    for operation in [f"Create{kind}" for kind in (*JOBS, "ModelPackage", "Model")]:
        monkeypatch.setitem(HANDLERS, operation, HANDLERS.get(operation, _elsewhere))
    service = FakeSageMaker(tmp_path)
    yield service
    executions.close(service)
    service.store.close()
