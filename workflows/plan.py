"""What the stacks are made of, and how each part is called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from workflows.package import Asset, function_zip, text
from workflows.stacks import StackPlan

FOUNDATION = "foundation.yaml"
INFERENCE = "inference.yaml"
APPROVAL = "deployment.yaml"


# On everything that a stack makes and that takes tags: which stack it was.
STACK_TAG = "scones:stack"


class Plan(Protocol):
    """A stack, and what its template refers to in S3: below `prefix` in `bucket`."""

    @property
    def bucket(self) -> str: ...

    @property
    def prefix(self) -> str: ...

    @property
    def environment(self) -> str: ...

    @property
    def stack_name(self) -> str: ...

    @property
    def stack(self) -> StackPlan: ...

    @property
    def assets(self) -> tuple[Asset, ...]: ...


def _stack(plan: Plan, template: str, parameters: dict[str, str]) -> StackPlan:
    """With the keys of the plan's assets for parameters, and its tags."""
    keys = {asset.parameter: asset.key(plan.prefix) for asset in plan.assets}
    tags = {STACK_TAG: plan.stack_name, "scones:environment": plan.environment}
    return StackPlan(plan.stack_name, text(template), parameters | keys, tags)


@dataclass(frozen=True)
class FoundationPlan:
    """The bucket, its key, the roles and the registry's group in one account and region.

    Attributes:
        make_bucket: whether the stack makes the bucket; one that is there already stays as it is.
        make_registry: the same of the model package group.
        name_prefix: of the stack's and the roles' names.
        customer_key: whether what is stored is encrypted with a KMS key of its own.
        jobs_in_vpc: whether jobs and models may join a VPC.
        algorithm: what trains; with another than pytorch the pipeline asks its models by transform jobs.
        training_repository_arn: of the person's own image that trains, if there is one.
        inference_repository_arn: the same of the image that serves.
        github_repository: `owner/name`, whose main branch may upsert the pipeline.
        github_provider_arn: the account's identity provider for GitHub, if it has one already.
    """

    bucket: str
    make_bucket: bool = True
    make_registry: bool = True
    prefix: str = "scones"
    name_prefix: str = "scones"
    pipeline_name: str = "scones"
    model_package_group: str = "scones"
    customer_key: bool = False
    jobs_in_vpc: bool = False
    algorithm: str = "pytorch"
    training_repository_arn: str = ""
    inference_repository_arn: str = ""
    github_repository: str = ""
    github_provider_arn: str = ""
    environment: str = "dev"

    @property
    def assets(self) -> tuple[Asset, ...]:
        return ()

    @property
    def stack_name(self) -> str:
        return f"{self.name_prefix}-foundation"

    @property
    def stack(self) -> StackPlan:
        parameters = {
            "NamePrefix": self.name_prefix,
            "EndpointArnPrefix": self.name_prefix.lower(),
            "BucketName": self.bucket,
            "MakeBucket": str(self.make_bucket).lower(),
            "MakeRegistry": str(self.make_registry).lower(),
            "Prefix": self.prefix,
            "PipelineName": self.pipeline_name,
            "ModelPackageGroup": self.model_package_group,
            "CustomerKey": str(self.customer_key).lower(),
            "JobsInVpc": str(self.jobs_in_vpc).lower(),
            "Algorithm": self.algorithm,
            "TrainingRepositoryArn": self.training_repository_arn,
            "InferenceRepositoryArn": self.inference_repository_arn,
            "GitHubRepository": self.github_repository,
            "GitHubProviderArn": self.github_provider_arn,
        }
        return _stack(self, FOUNDATION, parameters)


@dataclass(frozen=True)
class FunctionPlan:
    """One Lambda function.

    Attributes:
        folder: its folder in `lambdas/`.
        logical_id: in the template; the state machine's definition has `${<logical_id>FunctionArn}`.
        uses: the folders of the functions whose code it has with it.
    """

    name: str
    folder: str
    logical_id: str
    uses: tuple[str, ...] = ()

    @property
    def asset(self) -> Asset:
        return Asset(f"{self.logical_id}Key", f"{self.folder}.zip", function_zip(self.folder, self.uses))


@dataclass(frozen=True)
class WorkflowPlan:
    """The inference workflow in one account and region.

    Attributes:
        prefix: of the S3 keys; images are read from `<prefix>/inference/` only.
        threshold: the confidence, in [0, 1], that an image needs.
        name_prefix: of every resource's name, so that several workflows fit into one account.
        key_arn: the KMS key of the bucket, where it has one.
        approval_target_arn: the state machine to start when a model is approved or rejected.
        review: whether an image under the threshold waits for a person.
        review_timeout_seconds: how long the person has; `review_heartbeat_seconds`: how long the list of open
            reviews may go unlooked at.
        definitions: the template's parameter for each state machine's definition, and the definition's file.
    """

    bucket: str
    prefix: str
    endpoint_name: str
    threshold: float
    account: str
    region: str
    name_prefix: str = "scones"
    partition: str = "aws"
    key_arn: str = ""
    model_package_group: str = "scones"
    approval_target_arn: str = ""
    notification_email: str = ""
    review: bool = False
    review_timeout_seconds: int = 259_200
    review_heartbeat_seconds: int = 86_400
    log_retention_days: int = 30
    environment: str = "dev"
    definitions: dict[str, str] = field(
        default_factory=lambda: {
            "InferenceDefinitionKey": "inference.asl.json",
            "BatchDefinitionKey": "batch.asl.json",
        }
    )

    @property
    def images_prefix(self) -> str:
        return f"{self.prefix}/inference/"

    @property
    def batches_prefix(self) -> str:
        """Where each batch run has its folder: the manifest, what the map writes, and the results."""
        return f"{self.prefix}/batches/"

    @property
    def functions(self) -> tuple[FunctionPlan, ...]:
        return (
            FunctionPlan(f"{self.name_prefix}-serializer", "serializer", "Serializer"),
            FunctionPlan(f"{self.name_prefix}-classifier", "classifier", "Classifier"),
            FunctionPlan(f"{self.name_prefix}-confidence-filter", "confidence_filter", "ConfidenceFilter"),
            FunctionPlan(
                f"{self.name_prefix}-batch-classifier",
                "batch_classifier",
                "BatchClassifier",
                uses=("serializer", "classifier", "confidence_filter"),
            ),
            FunctionPlan(f"{self.name_prefix}-batch-results", "batch_results", "BatchResults"),
        )

    @property
    def review_queue_name(self) -> str:
        return f"{self.name_prefix}-review"

    @property
    def state_machine_name(self) -> str:
        return f"{self.name_prefix}-inference"

    @property
    def state_machine_arn(self) -> str:
        return self.arn("states", f"stateMachine:{self.state_machine_name}")

    @property
    def batch_state_machine_arn(self) -> str:
        return self.arn("states", f"stateMachine:{self.name_prefix}-batch")

    @property
    def stack_name(self) -> str:
        return f"{self.name_prefix}-inference"

    @property
    def assets(self) -> tuple[Asset, ...]:
        """What the template refers to in S3."""
        definitions = (
            Asset(parameter, name, text(name).encode()) for parameter, name in self.definitions.items()
        )
        return (*(function.asset for function in self.functions), *definitions)

    @property
    def stack(self) -> StackPlan:
        parameters = {
            "NamePrefix": self.name_prefix,
            "BucketName": self.bucket,
            "Prefix": self.prefix,
            "KeyArn": self.key_arn,
            "EndpointName": self.endpoint_name,
            "EndpointArnName": self.endpoint_name.lower(),
            "ConfidenceThreshold": str(self.threshold),
            "Review": "on" if self.review else "off",
            "ReviewTimeoutSeconds": str(self.review_timeout_seconds),
            "ReviewHeartbeatSeconds": str(self.review_heartbeat_seconds),
            "ModelPackageGroup": self.model_package_group,
            "ApprovalTargetArn": self.approval_target_arn,
            "NotificationEmail": self.notification_email,
            "LogRetentionDays": str(self.log_retention_days),
        }
        return _stack(self, INFERENCE, parameters)

    def function_arn(self, function: FunctionPlan) -> str:
        return self.arn("lambda", f"function:{function.name}")

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource in the plan's account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True)
class ApprovalPlan:
    """Deployment on approval in one account and region.

    Attributes:
        model_role_arn: what the models run as.
        template: how endpoints of the environment are made, as JSON.
        key_arn: the KMS key of the endpoints' volumes, where they have one.
        notification_email: who hears of rejected models that serve, and of approvals that came to nothing.
    """

    bucket: str
    prefix: str
    model_role_arn: str
    template: str
    name_prefix: str = "scones"
    model_package_group: str = "scones"
    key_arn: str = ""
    notification_email: str = ""
    log_retention_days: int = 30
    environment: str = "dev"

    @property
    def stack_name(self) -> str:
        return f"{self.name_prefix}-deployment"

    @property
    def assets(self) -> tuple[Asset, ...]:
        return (FunctionPlan(f"{self.name_prefix}-deployer", "deployer", "Deployer").asset,)

    @property
    def stack(self) -> StackPlan:
        parameters = {
            "NamePrefix": self.name_prefix,
            "EndpointArnPrefix": self.name_prefix.lower(),
            "BucketName": self.bucket,
            "ModelPackageGroup": self.model_package_group,
            "ModelRoleArn": self.model_role_arn,
            "KeyArn": self.key_arn,
            "Template": self.template,
            "NotificationEmail": self.notification_email,
            "LogRetentionDays": str(self.log_retention_days),
        }
        return _stack(self, APPROVAL, parameters)
