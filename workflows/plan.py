"""What the inference workflow is made of, and how each part is called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FunctionPlan:
    """One Lambda function.

    Attributes:
        folder: its folder in `lambdas/`.
        substitution: the placeholder for its ARN in the state machine's definition.
        timeout: seconds; above what the handler's own calls can take with their second attempts.
        memory: MiB.
    """

    name: str
    folder: str
    substitution: str
    environment: dict[str, str]
    timeout: int
    memory: int


@dataclass(frozen=True)
class WorkflowPlan:
    """The inference workflow in one account and region.

    Attributes:
        prefix: of the S3 keys; images are read from `<prefix>/inference/` only.
        threshold: the confidence, in [0, 1], that an image needs.
        name_prefix: of every resource's name, so that several workflows fit into one account.
    """

    bucket: str
    prefix: str
    endpoint_name: str
    threshold: float
    account: str
    region: str
    name_prefix: str = "scones"
    partition: str = "aws"

    @property
    def images_prefix(self) -> str:
        return f"{self.prefix}/inference/"

    @property
    def functions(self) -> tuple[FunctionPlan, ...]:
        return (
            FunctionPlan(
                name=f"{self.name_prefix}-serializer",
                folder="serializer",
                substitution="SerializerFunctionArn",
                environment={"ALLOWED_PREFIX": self.images_prefix},
                timeout=20,
                memory=256,
            ),
            FunctionPlan(
                name=f"{self.name_prefix}-classifier",
                folder="classifier",
                substitution="ClassifierFunctionArn",
                environment={"ENDPOINT_NAME": self.endpoint_name},
                timeout=60,
                memory=256,
            ),
            FunctionPlan(
                name=f"{self.name_prefix}-confidence-filter",
                folder="confidence_filter",
                substitution="ConfidenceFilterFunctionArn",
                environment={"THRESHOLD": str(self.threshold)},
                timeout=10,
                memory=128,
            ),
        )

    @property
    def state_machine_name(self) -> str:
        return f"{self.name_prefix}-inference"

    @property
    def state_machine_arn(self) -> str:
        return self.arn("states", f"stateMachine:{self.state_machine_name}")

    def function_arn(self, function: FunctionPlan) -> str:
        return self.arn("lambda", f"function:{function.name}")

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource in the plan's account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"
