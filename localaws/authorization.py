"""What IAM would be asked about a request: which actions, on which resources, with which condition keys.

Source of actions, resources and keys: https://docs.aws.amazon.com/service-authorization/latest/reference/
Only what this project's roles call is named here; of anything else the resource is `*`, which no statement
that names its resources allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from localaws.operations import Operation

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Ask:
    """One question to IAM.

    Attributes:
        action: such as `s3:GetObject`.
        resource: an ARN, or `*` for an action that knows no resources.
        context: condition keys, each with its value.
    """

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Place:
    """Where ARNs are: the account and its region."""

    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


def asks(place: Place, operation: Operation, parameters: Parameters) -> list[Ask]:
    """All that must be allowed for this request. `parameters` are as the API's reference calls them."""
    service = _SERVICES.get(operation.service, _unknown)
    return list(dict.fromkeys(service(place, operation, parameters), None))


def _s3(_: Place, operation: Operation, parameters: Parameters) -> Iterator[Ask]:
    bucket = f"arn:aws:s3:::{parameters.get('Bucket', '')}"
    item = f"{bucket}/{parameters.get('Key', '')}"
    name = _S3_ACTIONS.get(operation.name, operation.name)
    if source := parameters.get("CopySource"):
        yield Ask("s3:GetObject", f"arn:aws:s3:::{source.lstrip('/').partition('?')[0]}")
    if "Key" in parameters:
        yield Ask(f"s3:{name}", item)
    elif operation.name in ("ListObjects", "ListObjectsV2", "ListObjectVersions"):
        yield Ask(f"s3:{name}", bucket, (("s3:prefix", str(parameters.get("Prefix", ""))),))
    elif operation.name == "ListBuckets":
        yield Ask("s3:ListAllMyBuckets", "*")
    else:
        yield Ask(f"s3:{name}", bucket)


_S3_ACTIONS = {
    "HeadObject": "GetObject",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "HeadBucket": "ListBucket",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}


def _sagemaker(place: Place, operation: Operation, parameters: Parameters) -> Iterator[Ask]:
    invokes = operation.name.startswith("POST /endpoints/")  # SageMaker Runtime's one operation
    name = "InvokeEndpoint" if invokes else operation.name
    resources = _sagemaker_resources(place, name, parameters)
    for resource in resources:
        yield Ask(f"sagemaker:{name}", resource)
    if name.startswith("Create"):
        if parameters.get("Tags"):
            yield Ask("sagemaker:AddTags", resources[0])
        for member in ("RoleArn", "ExecutionRoleArn"):
            if role := parameters.get(member):
                yield _pass_role(role, "sagemaker.amazonaws.com")
    elif name == "UpdatePipeline" and parameters.get("RoleArn"):
        yield _pass_role(parameters["RoleArn"], "sagemaker.amazonaws.com")


def _sagemaker_resources(place: Place, name: str, parameters: Parameters) -> list[str]:
    """The resources that an operation names; `AbcDef` is `abc-def/<AbcDefName>`, in lower case as in ARNs."""
    if name in _SAGEMAKER_UNNAMED:
        return ["*"]
    if "ResourceArn" in parameters:
        return [parameters["ResourceArn"]]
    found = []
    if name == "CreateModelPackage":  # the version that is about to be made, beside its group
        group = str(parameters.get("ModelPackageGroupName", "")).rpartition("/")[2].lower()
        found.append(place.arn("sagemaker", f"model-package/{group}/1"))
    for member in _SAGEMAKER_SUBJECTS:
        if not (value := parameters.get(member)):
            continue
        if str(value).startswith("arn:"):
            found.append(str(value))
        else:
            kind = re.sub(r"(?<!^)(?=[A-Z])", "-", member.removesuffix("Name")).lower()
            found.append(place.arn("sagemaker", f"{kind}/{str(value).lower()}"))
    # What is made and what it is made of: AWS asks about both for these only.
    if name not in ("CreateEndpoint", "UpdateEndpoint", "CreateModelPackage"):
        found = found[:1]
    return found or ["*"]


# In the order in which they are what an operation is about: a config names models, an endpoint its config.
_SAGEMAKER_SUBJECTS = (
    "PipelineExecutionArn",
    "PipelineName",
    "ProcessingJobName",
    "TrainingJobName",
    "TransformJobName",
    "HyperParameterTuningJobName",
    "EndpointName",
    "EndpointConfigName",
    "ModelName",
    "ModelPackageName",
    "ModelPackageArn",
    "ModelPackageGroupName",
)
_SAGEMAKER_UNNAMED = {
    f"List{nouns}"
    for nouns in (
        "EndpointConfigs",
        "Endpoints",
        "ModelPackageGroups",
        "ModelPackages",
        "Models",
        "Pipelines",
        "ProcessingJobs",
        "TrainingJobs",
    )
}


def _states(_: Place, operation: Operation, parameters: Parameters) -> Iterator[Ask]:
    members = ("mapRunArn", "executionArn", "stateMachineArn", "resourceArn")
    named = (parameters[member] for member in members if parameters.get(member))
    resource = "*" if operation.name.startswith("SendTask") else next(named, "*")
    yield Ask(f"states:{operation.name}", resource)
    if operation.name == "CreateStateMachine" and parameters.get("roleArn"):
        yield _pass_role(parameters["roleArn"], "states.amazonaws.com")


def _sqs(place: Place, operation: Operation, parameters: Parameters) -> Iterator[Ask]:
    queue = parameters.get("QueueName") or str(parameters.get("QueueUrl", "")).rpartition("/")[2]
    yield Ask(f"sqs:{operation.name}", place.arn("sqs", queue) if queue else "*")


def _logs(place: Place, operation: Operation, parameters: Parameters) -> Iterator[Ask]:
    """Each is asked about a stream, named or not, as AWS's own refusals show."""
    group, stream = parameters.get("logGroupName"), parameters.get("logStreamName", "")
    resource = place.arn("logs", f"log-group:{group}:log-stream:{stream}") if group else "*"
    yield Ask(f"logs:{operation.name}", resource)


def _cloudwatch(place: Place, operation: Operation, parameters: Parameters) -> Iterator[Ask]:
    name = f"cloudwatch:{operation.name}"
    if operation.name == "PutMetricData":
        yield Ask(name, "*", (("cloudwatch:namespace", str(parameters.get("Namespace", ""))),))
    elif operation.name == "DescribeAlarms":
        yield Ask(name, place.arn("cloudwatch", "alarm:*"))
    elif alarms := parameters.get("AlarmNames") or [*filter(None, [parameters.get("AlarmName")])]:
        for alarm in alarms:
            yield Ask(name, place.arn("cloudwatch", f"alarm:{alarm}"))
    else:
        yield Ask(name, "*")


def _scaling(place: Place, operation: Operation, parameters: Parameters) -> Iterator[Ask]:
    name = f"application-autoscaling:{operation.name}"
    if operation.name.startswith("Describe"):
        yield Ask(name, "*")
        return
    keys = {
        "application-autoscaling:service-namespace": parameters.get("ServiceNamespace"),
        "application-autoscaling:scalable-dimension": parameters.get("ScalableDimension"),
    }
    context = tuple((key, str(value)) for key, value in keys.items() if value)
    yield Ask(name, place.arn("application-autoscaling", "scalable-target/id"), context)


def _cloudformation(place: Place, operation: Operation, parameters: Parameters) -> Iterator[Ask]:
    stack = str(parameters.get("StackName", ""))
    named = stack if stack.startswith("arn:") else place.arn("cloudformation", f"stack/{stack}/id")
    yield Ask(f"cloudformation:{operation.name}", named if stack else "*")


def _lambda(place: Place, operation: Operation, parameters: Parameters) -> Iterator[Ask]:
    name = str(parameters.get("FunctionName", ""))
    action = "InvokeFunction" if operation.name.startswith("Invoke") else operation.name
    named = name if name.startswith("arn:") else place.arn("lambda", f"function:{name}")
    yield Ask(f"lambda:{action}", named if name else "*")


def _sns(_: Place, operation: Operation, parameters: Parameters) -> Iterator[Ask]:
    yield Ask(f"sns:{operation.name}", str(parameters.get("TopicArn") or "*"))


def _nothing(_: Place, __: Operation, ___: Parameters) -> Iterator[Ask]:
    """GetCallerIdentity needs no permission; that a role is assumed is its trust policy's matter."""
    return iter(())


def _unknown(_: Place, operation: Operation, __: Parameters) -> Iterator[Ask]:
    yield Ask(f"{operation.service}:{operation.name}", "*")


_SERVICES: dict[str, Callable[[Place, Operation, Parameters], Iterator[Ask]]] = {
    "s3": _s3,
    "sagemaker": _sagemaker,
    "states": _states,
    "sqs": _sqs,
    "logs": _logs,
    "monitoring": _cloudwatch,
    "application-autoscaling": _scaling,
    "cloudformation": _cloudformation,
    "lambda": _lambda,
    "sns": _sns,
    "sts": _nothing,
}


def _pass_role(role: str, service: str) -> Ask:
    return Ask("iam:PassRole", role, (("iam:PassedToService", service),))
