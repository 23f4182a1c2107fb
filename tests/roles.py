"""The roles of the templates with their statements, as CloudFormation would make them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.cloudformation import templates
from localaws.cloudformation.intrinsics import Scope
from pipeline.foundation import repository_arn
from workflows import package, plan

ACCOUNT, REGION, BUCKET = "123456789012", "us-east-1", "scones-local"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/Key"
TEMPLATES = sorted(path.name for path in Path(package.__file__).parent.glob("*.yaml"))

# How a resource's name becomes its ARN, and what `Ref` gives where that is not the name.
_ARNS = {
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{name}",
    "AWS::IAM::OIDCProvider": "arn:aws:iam::{account}:oidc-provider/{name}",
    "AWS::KMS::Key": "arn:aws:kms:{region}:{account}:key/{name}",
    "AWS::Lambda::Function": "arn:aws:lambda:{region}:{account}:function:{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{name}",
    "AWS::StepFunctions::StateMachine": "arn:aws:states:{region}:{account}:stateMachine:{name}",
}
_REF_IS_ARN = {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine", "AWS::IAM::OIDCProvider"}
_NAMES = (
    "BucketName",
    "FunctionName",
    "LogGroupName",
    "QueueName",
    "RoleName",
    "StateMachineName",
    "TopicName",
)


@dataclass(frozen=True)
class Role:
    """A role: who may take it on, and what it may do."""

    name: str
    trust: dict[str, Any]
    policies: tuple[dict[str, Any], ...]

    @property
    def statements(self) -> list[dict[str, Any]]:
        return [statement for policy in self.policies for statement in policy["Statement"]]


# What settings turn on, and what the foundation's plan has then.
FEATURES: dict[str, dict[str, Any]] = {
    "key": {"customer_key": True},
    "vpc": {"jobs_in_vpc": True},
    "image-classification": {"algorithm": "image-classification"},
    "custom": {
        "algorithm": "custom",
        "training_repository_arn": repository_arn(f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/team/train:1"),
        "inference_repository_arn": repository_arn(f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/team/serve:1"),
    },
}


def render(*features: str) -> dict[str, Role]:
    """Every role of every template by its name, with what these settings turn on."""
    return {role.name: role for name in TEMPLATES for role in _roles(name, _parameters(name, features))}


def _parameters(template: str, features: tuple[str, ...]) -> Mapping[str, str]:
    """What the plans give; that every role is made which is made on demand."""
    if template == plan.FOUNDATION:
        given = {key: value for feature in features for key, value in FEATURES[feature].items()}
        return plan.FoundationPlan(BUCKET, github_repository="owner/name", **given).stack.parameters
    if template == plan.INFERENCE:
        inference = plan.WorkflowPlan(
            BUCKET,
            "scones",
            "endpoint",
            0.8,
            ACCOUNT,
            REGION,
            review=True,
            key_arn=KEY if "key" in features else "",
            approval_target_arn=f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:after-approval",
        )
        # The recording's name of an endpoint, which differs from run to run.
        return inference.stack.parameters | {"EndpointArnName": "scones-<moment>"}
    approval = plan.ApprovalPlan(
        BUCKET,
        "scones",
        f"arn:aws:iam::{ACCOUNT}:role/scones-model",
        "{}",
        key_arn=KEY if "key" in features else "",
    )
    return approval.stack.parameters


def _roles(name: str, parameters: Mapping[str, str]) -> Iterator[Role]:
    template = templates.parse(package.text(name))
    values = templates.fill_in(template, parameters) | {
        "AWS::AccountId": ACCOUNT,
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "AWS::StackName": "stack",
    }

    def resource(logical_id: str, attribute: str | None) -> str:
        definition = template.resources[logical_id]
        kind, properties = definition["Type"], definition.get("Properties", {})
        given = next((properties[key] for key in _NAMES if key in properties), logical_id)
        own = str(scope.evaluate(given))
        arn = _ARNS.get(kind, f"arn:aws:none:::{own}").format(name=own, account=ACCOUNT, region=REGION)
        if attribute == "Arn" or (attribute is None and kind in _REF_IS_ARN):
            return arn
        return own

    scope = Scope(template, values, resource)
    for definition in template.resources.values():
        if definition["Type"] == "AWS::IAM::Role" and scope.exists(definition):
            properties = scope.evaluate(definition["Properties"])
            documents = tuple(policy["PolicyDocument"] for policy in properties.get("Policies", []))
            yield Role(properties["RoleName"], properties["AssumeRolePolicyDocument"], documents)
