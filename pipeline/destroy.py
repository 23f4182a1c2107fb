"""Everything that the commands have made, and its removal: listed first, then in an order that works.

What the list holds is looked up, not remembered, so an interrupted removal is finished by the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from lambdas.deployer import handler as deployer
from pipeline import clarify, endpoints, foundation, objects, registry, runs
from pipeline.errors import is_missing
from workflows import stacks
from workflows.plan import STACK_TAG

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

KEY_DAYS = 7  # KMS' shortest: so long a key can be had back, and with it what it encrypted
LONGEST_SECONDS = 1800
LEFT = ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS")


class DestroyError(Exception):
    """Something that could not be removed. What was removed before stays removed."""


@dataclass(frozen=True)
class Item:
    """One thing to remove.

    Attributes:
        note: what a person should know of it before agreeing.
    """

    kind: str
    name: str
    remove: Callable[[], Any]
    note: str = ""


def find(clients: Clients, settings: Settings) -> list[Item]:
    """What is there, in the order of its removal; `settings` may want a bucket."""
    return [
        *_endpoints(clients, settings),
        *_stacks(clients, settings),
        *_pipeline(clients, settings),
        *_registry(clients, settings),
        *_logs(clients, settings),
        *_foundation(clients, settings),
    ]


def kept(clients: Clients) -> list[str]:
    """What stays although the commands had a part in it, and how to remove it."""
    told = []
    for group in ("ProcessingJobs", "TrainingJobs", "TransformJobs"):
        name = f"/aws/sagemaker/{group}"
        if name in _log_groups(clients, name):
            told.append(
                f"log group {name}: jobs of others log there too (aws logs delete-log-group "
                f"--log-group-name {name})"
            )
    return told


def destroy(items: list[Item]) -> Iterator[Item]:
    """Removes one after the other; yields each when it is gone.

    Raises:
        DestroyError: one could not be removed; those behind it were not tried.
    """
    for item in items:
        try:
            item.remove()
        except (ClientError, objects.DeletionError, stacks.StackFailedError, stacks.StackBusyError) as error:
            raise DestroyError(f"{item.kind} {item.name} could not be removed: {error}") from error
        yield item


def _endpoints(clients: Clients, settings: Settings) -> Iterator[Item]:
    sagemaker, prefix = clients("sagemaker"), clarify.prefix(settings)
    found = endpoints.endpoints(sagemaker, settings.endpoint_name_prefix)
    # Clarify makes an endpoint for as long as a job; a job that is ended by force leaves it there.
    for endpoint in found + endpoints.endpoints(sagemaker, prefix, ours=_is_clarifys):
        yield Item(
            "endpoint",
            endpoint.name,
            partial(_remove_endpoint, clients, settings, endpoint.name),
            f"{endpoint.status}, with its config, model, scaling and alarms",
        )


def _is_clarifys(name: str, prefix: str) -> bool:
    """Whether Clarify may have made up the rest of the name; no other installation's of that prefix."""
    return name.startswith(f"{prefix}-") and not deployer.is_ours(name, prefix)


def _remove_endpoint(clients: Clients, settings: Settings, name: str) -> None:
    """An endpoint on its way somewhere takes no order, and one on its way out is gone afterwards."""
    sagemaker, what = clients("sagemaker"), f"endpoint {name}"

    def status() -> str | None:
        try:
            return str(endpoints.describe(sagemaker, name)["EndpointStatus"])
        except endpoints.NoEndpointError:
            return None

    _wait(settings, what, lambda: status() in deployer.BUSY)
    with suppress(endpoints.NoEndpointError):
        endpoints.delete_all(clients, settings, name)
    _wait(settings, what, lambda: status() is not None)


def _stacks(clients: Clients, settings: Settings) -> Iterator[Item]:
    """Every stack of ours but the foundation, which the others stand on."""
    cloudformation, own = clients("cloudformation"), foundation.stack_name(settings)
    for name in _stack_names(cloudformation, settings):
        if name != own:
            made = stacks.resources(cloudformation, name)
            machines = [each for each in made if each["ResourceType"] == "AWS::StepFunctions::StateMachine"]
            arns = [machine["PhysicalResourceId"] for machine in machines]
            waiting = len(_running(clients, arns))
            note = f"{len(made)} resources" + (f"; {waiting} executions are stopped first" if waiting else "")
            yield Item("stack", name, partial(_remove_stack, clients, name, arns), note)


def _remove_stack(clients: Clients, name: str, machines: list[str]) -> None:
    """A state machine is gone once its executions have ended, and one may wait for a person for days."""
    for execution in _running(clients, machines):
        with suppress(clients("stepfunctions").exceptions.ExecutionDoesNotExist):
            clients("stepfunctions").stop_execution(executionArn=execution, error="Destroyed")
    stacks.delete(clients("cloudformation"), name)


def _running(clients: Clients, machines: list[str]) -> list[str]:
    pages = clients("stepfunctions").get_paginator("list_executions")
    return [
        execution["executionArn"]
        for machine in machines
        for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING")
        for execution in page["executions"]
    ]


def _stack_names(cloudformation: Any, settings: Settings) -> list[str]:
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    return [
        stack["StackName"]
        for page in pages
        for stack in page["Stacks"]
        if stack["StackStatus"] not in LEFT
        and any(
            stack["StackName"] == f"{settings.endpoint_name_prefix}-{part}"
            for part in ("inference", "deployment", "foundation")
        )
    ]


def _pipeline(clients: Clients, settings: Settings) -> Iterator[Item]:
    sagemaker, name = clients("sagemaker"), settings.pipeline_name
    if not _has(sagemaker.describe_pipeline, PipelineName=name):
        return
    running = [e for e in runs.executions(clients, settings, 100) if e.status not in runs.TERMINAL]
    note = f"{len(running)} executions are stopped first" if running else "with its executions' records"
    models = _models(clients, settings)
    note += f"; and the models {', '.join(models)}" if models else ""
    yield Item("pipeline", name, partial(_remove_pipeline, clients, settings), note)


def _remove_pipeline(clients: Clients, settings: Settings) -> None:
    sagemaker = clients("sagemaker")

    def running() -> list[runs.Execution]:
        return [e for e in runs.executions(clients, settings, 100) if e.status not in runs.TERMINAL]

    for execution in running():
        if execution.status == "Executing":
            runs.stop(sagemaker, execution.arn)
    _wait(settings, f"pipeline {settings.pipeline_name}", lambda: bool(running()))
    # Before the pipeline, whose executions tell which they are; and anew, since those had gone on.
    for model in _models(clients, settings):
        sagemaker.delete_model(ModelName=model)
    sagemaker.delete_pipeline(PipelineName=settings.pipeline_name)


def _models(clients: Clients, settings: Settings) -> list[str]:
    """Names of the models that the pipeline's executions made and that are still there.

    What an execution itself records as made by its steps counts. The names, `pipelines-<execution>-...`, only
    say which executions to ask: another pipeline's models have such names too.
    """
    sagemaker = clients("sagemaker")
    pages = sagemaker.get_paginator("list_models").paginate(NameContains="pipelines-")
    there = {model["ModelArn"]: model["ModelName"] for page in pages for model in page["Models"]}
    named = {name.split("-")[1] for name in there.values() if name.startswith("pipelines-")}
    if not named:
        return []
    pages = sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=settings.pipeline_name)
    arns = [each["PipelineExecutionArn"] for page in pages for each in page["PipelineExecutionSummaries"]]
    asked = [arn for arn in arns if arn.rpartition("/")[2] in named]
    made = {step.made for arn in asked for step in runs.steps(sagemaker, arn)}
    return sorted(name for arn, name in there.items() if arn in made)


def _registry(clients: Clients, settings: Settings) -> Iterator[Item]:
    sagemaker, group = clients("sagemaker"), settings.model_package_group
    if not _has(sagemaker.describe_model_package_group, ModelPackageGroupName=group):
        return
    packages = registry.packages(sagemaker, group)

    def remove() -> None:
        for package in packages:
            sagemaker.delete_model_package(ModelPackageName=package.arn)
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)

    yield Item("model package group", group, remove, _count(len(packages), "version"))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _logs(clients: Clients, settings: Settings) -> Iterator[Item]:
    own, clarifys = settings.endpoint_name_prefix, clarify.prefix(settings)
    for prefix, ours in ((own, deployer.is_ours), (clarifys, _is_clarifys)):
        for name in _log_groups(clients, f"/aws/sagemaker/Endpoints/{prefix}-"):
            if ours(name.rpartition("/")[2], prefix):
                yield Item("log group", name, partial(clients("logs").delete_log_group, logGroupName=name))


def _log_groups(clients: Clients, prefix: str) -> list[str]:
    pages = clients("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    return [group["logGroupName"] for page in pages for group in page["logGroups"]]


def _foundation(clients: Clients, settings: Settings) -> Iterator[Item]:
    """Objects, key, stack, bucket: the stack leaves key and bucket alone, so that no slip deletes them."""
    cloudformation, name = clients("cloudformation"), foundation.stack_name(settings)
    outputs = stacks.outputs(cloudformation, name)
    made = {r["LogicalResourceId"] for r in stacks.resources(cloudformation, name)}
    bucket = outputs.get("BucketName") or foundation.bucket_name(settings, clients)
    s3, there = clients("s3"), foundation.is_bucket(clients("s3"), bucket)
    own = there and ("Bucket" in made or objects.tag(s3, bucket, STACK_TAG) == name)
    if there:
        prefix = "" if own else f"{settings.prefix}/"
        note = "every object in every version" if own else "every version; the bucket itself stays"
        yield Item("objects", f"s3://{bucket}/{prefix}", partial(objects.empty, s3, bucket, prefix), note)
    if "KeyArn" in outputs and "Key" in made:
        yield Item(
            "KMS key",
            outputs["KeyArn"],
            partial(_schedule_key_deletion, clients("kms"), outputs["KeyArn"]),
            f"scheduled: it can be had back for {KEY_DAYS} days",
        )
    if stacks.find(cloudformation, name):
        yield Item("stack", name, partial(stacks.delete, cloudformation, name), _count(len(made), "resource"))
    if own:
        yield Item("bucket", bucket, partial(s3.delete_bucket, Bucket=bucket))


def _schedule_key_deletion(kms: Any, arn: str) -> None:
    try:
        kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=KEY_DAYS)
    except ClientError as error:
        if error.response["Error"]["Code"] != "KMSInvalidStateException":  # it is scheduled already
            raise


def _has(describe: Callable[..., Any], **name: str) -> bool:
    try:
        describe(**name)
    except ClientError as error:
        if is_missing(error):
            return False
        raise
    return True


def _wait(settings: Settings, what: str, still: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while still():
        if time.monotonic() > deadline:
            raise DestroyError(
                f"{what} is still there after {LONGEST_SECONDS // 60} minutes; try again later"
            )
        time.sleep(settings.poll_seconds)
