"""How an environment's endpoint is hosted: its instances, how traffic moves to a new model, its alarms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from pipeline.numeric import Integer

# No alias: a policy's resource is the key itself. Empty for none.
KeyArn = Annotated[str, StringConstraints(pattern=r"^(arn:aws[a-z\-]*:kms:[a-z0-9-]+:\d{12}:key/[\w-]+)?$")]
STARTING_SECONDS = 1_800
LONGEST_DEPLOYMENT = 28_800  # SageMaker's


class ScheduledCapacity(BaseModel):
    """From `at` on (Application Auto Scaling's `cron(…)` or `at(…)`, UTC) these limits hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Annotated[str, StringConstraints(pattern=r"^(cron|at|rate)\(.+\)$")]
    min_instances: Annotated[Integer, Field(ge=1, le=100)]
    max_instances: Annotated[Integer, Field(ge=1, le=100)]

    @model_validator(mode="after")
    def _consistent(self) -> ScheduledCapacity:
        if self.max_instances < self.min_instances:
            raise ValueError(f"max_instances is less than min_instances from {self.at} on")
        return self


class Hosting(BaseModel):
    """One environment's settings, `[environments.<name>]` in scones.toml.

    `baking_seconds` is how long each share of the traffic, and at last all of it, is watched before the old
    fleet goes. `invocations_per_instance` is the load per minute that autoscaling holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_type: Annotated[str, StringConstraints(pattern=r"^ml\.[a-z0-9\-]+\.[a-z0-9]+$")] | None = None
    min_instances: Annotated[Integer, Field(ge=1, le=100)] = 1
    max_instances: Annotated[Integer, Field(ge=1, le=100)] = 1
    invocations_per_instance: Annotated[Integer, Field(ge=1)] = 1_000
    schedule: tuple[ScheduledCapacity, ...] = ()

    traffic: Literal["all_at_once", "canary", "linear"] = "all_at_once"
    step_percent: Annotated[Integer, Field(ge=10, le=50)] = 10
    baking_seconds: Annotated[Integer, Field(ge=0, le=3_600)] = 0

    serverless: bool = False
    serverless_memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 2048
    serverless_concurrency: Annotated[Integer, Field(ge=1, le=200)] = 5

    kms_key: KeyArn | None = None
    capture_percent: Annotated[Integer, Field(ge=1, le=100)] = 100

    latency_alarm_ms: Annotated[Integer, Field(ge=1)] = 1_000
    errors_alarm: Annotated[Integer, Field(ge=0)] = 0
    no_traffic_minutes: Annotated[Integer, Field(ge=5, le=1_440)] = 60
    alarm_topic: Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z\-]*:sns:\S+$")] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Hosting:
        if self.max_instances < self.min_instances:
            raise ValueError("max_instances is less than min_instances")
        if self.traffic != "all_at_once" and (self.serverless or self.min_instances < 2):
            raise ValueError(
                f"traffic {self.traffic} moves half of the instances at most in a step: it needs "
                "min_instances of 2 or more, and no serverless"
            )
        if self.serverless and (self.schedule or self.max_instances > 1):
            raise ValueError("a serverless endpoint scales by itself: leave out schedule and max_instances")
        if self.deployment_seconds > LONGEST_DEPLOYMENT:
            raise ValueError(
                f"{self.steps} steps of {self.baking_seconds} baking_seconds, and once more at the end, take "
                f"longer than the {LONGEST_DEPLOYMENT:,} s of a deployment: bake less, or in larger steps"
            )
        return self

    @property
    def steps(self) -> int:
        """In how many the traffic moves."""
        return {"all_at_once": 1, "canary": 2, "linear": -(-100 // self.step_percent)}[self.traffic]

    @property
    def deployment_seconds(self) -> int:
        """How long one may take: what is watched, at last the old fleet's end, and the new fleet's start."""
        return STARTING_SECONDS + (self.steps + 1) * self.baking_seconds


# What holds where scones.toml has no such environment.
DEFAULTS = {
    "staging": Hosting(baking_seconds=60),
    "prod": Hosting(min_instances=2, max_instances=4, traffic="canary", step_percent=50, baking_seconds=300),
}
