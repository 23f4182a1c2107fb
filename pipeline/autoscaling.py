"""How many instances an endpoint has: by invocations per instance, within limits, on a schedule.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.deployer.handler import VARIANT

if TYPE_CHECKING:
    from pipeline.hosting import Hosting

METRIC = "SageMakerVariantInvocationsPerInstance"


def wanted(hosting: Hosting) -> bool:
    return hosting.max_instances > hosting.min_instances or bool(hosting.schedule)


def target(endpoint: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def ensure(client: Any, hosting: Hosting, endpoint: str) -> dict[str, Any] | None:
    """Registers what the settings want, or removes what they do not want any more; returns what holds."""
    if not wanted(hosting):
        remove(client, endpoint)
        return None
    limits = {"MinCapacity": hosting.min_instances, "MaxCapacity": hosting.max_instances}
    if not _on_schedule(client, hosting, endpoint):
        client.register_scalable_target(**target(endpoint), **limits)
    client.put_scaling_policy(
        PolicyName=f"{endpoint}-invocations",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": float(hosting.invocations_per_instance),
            "PredefinedMetricSpecification": {"PredefinedMetricType": METRIC},
            "ScaleInCooldown": 300,
            "ScaleOutCooldown": 60,
        },
        **target(endpoint),
    )
    names = []
    for number, scheduled in enumerate(hosting.schedule, start=1):
        names.append(f"{endpoint}-schedule-{number}")
        client.put_scheduled_action(
            ScheduledActionName=names[-1],
            Schedule=scheduled.at,
            ScalableTargetAction={
                "MinCapacity": scheduled.min_instances,
                "MaxCapacity": scheduled.max_instances,
            },
            **target(endpoint),
        )
    _remove_actions(client, endpoint, keep=names)
    return {**limits, "invocations_per_instance": hosting.invocations_per_instance, "schedule": names}


def _on_schedule(client: Any, hosting: Hosting, endpoint: str) -> bool:
    """Whether limits of the schedule hold: a deployment at noon must not undo what began at eight."""
    ids = [target(endpoint)["ResourceId"]]
    found = client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=ids)["ScalableTargets"]
    scheduled = [(entry.min_instances, entry.max_instances) for entry in hosting.schedule]
    return any((each["MinCapacity"], each["MaxCapacity"]) in scheduled for each in found)


def remove(client: Any, endpoint: str) -> list[str]:
    """Policy, schedule and target of the endpoint, where they are there."""
    where = target(endpoint)
    selected = {"ServiceNamespace": where["ServiceNamespace"], "ResourceId": where["ResourceId"]}
    removed = _remove_actions(client, endpoint, keep=[])
    for policy in client.describe_scaling_policies(**selected)["ScalingPolicies"]:
        client.delete_scaling_policy(PolicyName=policy["PolicyName"], **where)
        removed.append(f"scaling policy {policy['PolicyName']}")
    ids = [where["ResourceId"]]
    if client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=ids)["ScalableTargets"]:
        client.deregister_scalable_target(**where)
        removed.append(f"scalable target {where['ResourceId']}")
    return removed


def _remove_actions(client: Any, endpoint: str, keep: list[str]) -> list[str]:
    where = target(endpoint)
    found = client.describe_scheduled_actions(ServiceNamespace="sagemaker", ResourceId=where["ResourceId"])
    removed = []
    for action in found["ScheduledActions"]:
        name = action["ScheduledActionName"]
        if name not in keep:
            client.delete_scheduled_action(ScheduledActionName=name, **where)
            removed.append(f"scheduled action {name}")
    return removed
