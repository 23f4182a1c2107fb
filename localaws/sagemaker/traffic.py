"""A DeploymentConfig as a schedule: which share of the traffic the new fleet has, and for how long.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from localaws.documents import Document


class TrafficError(Exception):
    """A DeploymentConfig that SageMaker refuses."""


@dataclass(frozen=True)
class TrafficPlan:
    """How an update moves the traffic from the old fleet to the new.

    Attributes:
        shares: the new fleet's share after each step, the last one 1.
        interval: seconds that each share but the last is baked.
        termination_wait: seconds that the old fleet is kept once all traffic has moved.
        alarms: names of the CloudWatch alarms that roll back.
    """

    shares: tuple[float, ...] = (1.0,)
    interval: float = 0
    termination_wait: float = 0
    alarms: tuple[str, ...] = ()


def traffic_plan(config: Document | None, instances: int) -> TrafficPlan:
    """The plan for a new fleet of so many instances. Raises TrafficError."""
    if not config:
        return TrafficPlan()
    rollback = (config.get("AutoRollbackConfiguration") or {}).get("Alarms") or []
    alarms = tuple(alarm["AlarmName"] for alarm in rollback)
    rolling, blue_green = config.get("RollingUpdatePolicy"), config.get("BlueGreenUpdatePolicy")
    if rolling and blue_green:
        raise TrafficError("DeploymentConfig: either a BlueGreenUpdatePolicy or a RollingUpdatePolicy.")
    if rolling:
        step = _share("MaximumBatchSize", rolling["MaximumBatchSize"], instances, 0.05)
        return TrafficPlan(_steps(step), rolling.get("WaitIntervalInSeconds", 0), 0, alarms)
    if not blue_green:
        return TrafficPlan(alarms=alarms)
    routing = blue_green["TrafficRoutingConfiguration"]
    shares: tuple[float, ...] = (1.0,)
    if routing["Type"] == "CANARY":
        shares = (_share("CanarySize", routing.get("CanarySize"), instances, 0), 1.0)
    elif routing["Type"] == "LINEAR":
        shares = _steps(_share("LinearStepSize", routing.get("LinearStepSize"), instances, 0.1))
    return TrafficPlan(
        shares, routing.get("WaitIntervalInSeconds", 0), blue_green.get("TerminationWaitInSeconds", 0), alarms
    )


def _steps(step: float) -> tuple[float, ...]:
    return tuple(min(1.0, step * number) for number in range(1, math.ceil(1 / step - 1e-9) + 1))


def _share(member: str, size: Document | None, instances: int, least: float) -> float:
    """A capacity size as whole instances' share of the fleet, at most half of it."""
    if not size:
        raise TrafficError(f"TrafficRoutingConfiguration needs a {member} for its type.")
    percent = size["Type"] == "CAPACITY_PERCENT"
    count = math.ceil(size["Value"] * instances / 100) if percent else size["Value"]
    share = count / instances
    if not least <= share <= 0.5:
        raise TrafficError(
            f"{member} of {size['Value']} ({size['Type']}) is {count} of {instances} instances: at most half "
            "of the fleet can be moved in one step."
        )
    return share
