"""Deploys a stack: the foundation, the inference workflow, deployment on approval. Again: changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workflows import ClientFactory, package, stacks
from workflows.plan import Plan
from workflows.stacks import Change, ChangeSet, Event

Approve = Callable[[ChangeSet], bool]
OnEvent = Callable[[Event], None]


class DeploymentRefusedError(Exception):
    """The change set was shown, and not wanted. Nothing was changed."""


@dataclass(frozen=True)
class Deployment:
    """What stands after a deployment.

    Attributes:
        outputs: of the stack, by name.
        changes: what was created, updated or removed; empty when all was as planned already.
    """

    stack_name: str
    outputs: dict[str, str]
    changes: tuple[Change, ...]

    @property
    def state_machine_arn(self) -> str:
        """Of the inference workflow; KeyError for another stack."""
        return self.outputs["StateMachineArn"]


def deploy(
    client: ClientFactory,
    plan: Plan,
    approve: Approve = lambda _: True,
    on_event: OnEvent | None = None,
) -> Deployment:
    """Uploads the code that the bucket lacks, and brings the stack to its plan.

    Args:
        approve: is shown the change set and says whether to execute it.
        on_event: hears of each resource's progress.

    Raises:
        DeploymentRefusedError: `approve` said no.
        StackFailedError: naming the resource that failed and why; everything is as it was then.
        StackBusyError: somebody else is deploying.
    """
    s3 = client("s3")
    for asset in plan.assets:
        package.upload(s3, plan.bucket, plan.prefix, asset)
    stack = plan.stack
    cloudformation = client("cloudformation")
    change_set = stacks.propose(cloudformation, stack)
    if change_set is None:
        return Deployment(stack.name, stacks.outputs(cloudformation, stack.name), ())
    try:
        wanted = approve(change_set)
    except BaseException:
        stacks.discard(cloudformation, change_set)
        raise
    if not wanted:
        stacks.discard(cloudformation, change_set)
        raise DeploymentRefusedError(f"nothing was changed in {stack.name}")
    stacks.callback(stacks.execute(cloudformation, change_set), on_event)
    return Deployment(stack.name, stacks.outputs(cloudformation, stack.name), change_set.changes)
