"""How an environment's endpoints are made: what `lambdas/deployer` takes, there and here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import alarms, autoscaling, endpoints

if TYPE_CHECKING:
    from pipeline.settings import Settings


def template(settings: Settings) -> dict[str, Any]:
    """How endpoints of the environment are made: what `lambdas/deployer` takes, there and here."""
    hosting = settings.hosting
    key = settings.endpoint_key_arn
    config: dict[str, Any] = {}
    variant: dict[str, Any] = {}
    if hosting.serverless:
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": hosting.serverless_memory_mb,
            "MaxConcurrency": hosting.serverless_concurrency,
        }
    else:
        variant["InstanceType"] = hosting.instance_type or settings.endpoint_instance_type
        variant["InitialInstanceCount"] = hosting.min_instances
        config["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": hosting.capture_percent,
            "DestinationS3Uri": endpoints.capture_uri(settings),
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            # Whatever is not named here is captured as base64.
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
            **({"KmsKeyId": key} if key else {}),
        }
        if key:
            config["KmsKeyId"] = key
    made: dict[str, Any] = {
        "name_prefix": settings.endpoint_name_prefix,
        "environment": settings.environment,
        "role_arn": settings.role("model"),
        "model": settings.model_network,
        "variant": variant,
        "config": config,
        "rollback_alarms": list(alarms.ROLLBACK),
    }
    if not hosting.serverless:  # traffic cannot be shifted between serverless variants
        made["deployment"] = _deployment_config(settings)
        if autoscaling.wanted(hosting):
            # The instances that autoscaling has now; all else as the new config says.
            kept = [{"VariantPropertyType": kind} for kind in ("DesiredWeight", "DataCaptureConfig")]
            made["update"] = {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": kept}
    return made


def _deployment_config(settings: Settings) -> dict[str, Any]:
    """Source: https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html"""
    hosting = settings.hosting
    routing: dict[str, Any] = {
        "Type": hosting.traffic.upper(),
        "WaitIntervalInSeconds": hosting.baking_seconds,
    }
    size = {"canary": "CanarySize", "linear": "LinearStepSize"}.get(hosting.traffic)
    if size:
        routing[size] = {"Type": "CAPACITY_PERCENT", "Value": hosting.step_percent}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": hosting.baking_seconds,
            "MaximumExecutionTimeoutInSeconds": hosting.deployment_seconds,
        }
    }
