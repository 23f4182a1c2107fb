"""Step caching: is there an earlier run of this step whose result can be used again?

Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html (the attributes by step type).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from localaws.documents import Document
from localaws.sagemaker.engine.definition import Step
from localaws.sagemaker.engine.records import STEP_CACHE
from localaws.sagemaker.engine.schema import duration
from localaws.sagemaker.operations import now
from localaws.sagemaker.store import Store

_TRAINING_DEFINITION = (
    "AlgorithmSpecification",
    "HyperParameterRanges",
    "InputDataConfig",
    "StaticHyperParameters",
    "TuningObjective",
)
# Where the results go, on which machines and for how long are no part of what is compared.
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
    "Tuning": ("HyperParameterTuningJobConfig", "TrainingJobDefinition", "TrainingJobDefinitions"),
    "Transform": ("DataProcessing", "Environment", "ModelName", "TransformInput"),
}


def cache_key(step: Step, request: Document) -> str | None:
    """What must be the same for a result to be used again; None where the step is not cached.

    `request` holds the step's arguments with their expressions replaced.
    """
    config = step.document.get("CacheConfig") or {}
    attributes = _ATTRIBUTES.get(step.type)
    if not config.get("Enabled") or attributes is None:
        return None
    compared = {name: _compared(name, request[name]) for name in attributes if request.get(name)}
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()


def find(store: Store, pipeline_arn: str, step: Step, key: str) -> Document | None:
    """The newest successful run with this key that has not expired: `Execution`, `Metadata`, `Properties`."""
    entry = store.get(STEP_CACHE, _name(pipeline_arn, step, key))
    lifetime = duration(step.document["CacheConfig"]["ExpireAfter"])
    if entry is None or entry["EndTime"] + lifetime.total_seconds() < now():
        return None
    return entry


def remember(
    store: Store, pipeline_arn: str, step: Step, key: str, execution_arn: str, record: Document
) -> None:
    """Keeps a successful run for later executions of the same pipeline."""
    name = _name(pipeline_arn, step, key)
    entry = {
        "_Name": name,
        "Execution": execution_arn,
        "EndTime": record["EndTime"],
        "Metadata": record.get("Metadata", {}),
        "Properties": record.get("_Properties", {}),
    }
    store.put(STEP_CACHE, name, entry, parent=pipeline_arn)


def _name(pipeline_arn: str, step: Step, key: str) -> str:
    return f"{pipeline_arn}/{step.name}/{key}"


def _compared(name: str, value: Any) -> Any:
    if name == "TrainingJobDefinition":
        return {part: value[part] for part in _TRAINING_DEFINITION if part in value}
    if name == "TrainingJobDefinitions":
        return [_compared("TrainingJobDefinition", each) for each in value]
    return value
