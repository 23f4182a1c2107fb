"""The types of steps that can run here, by the names that definitions have for them."""

from __future__ import annotations

from collections.abc import Collection

from localaws.sagemaker.engine.control import Condition, Fail
from localaws.sagemaker.engine.kinds import Kind
from localaws.sagemaker.engine.remote import Callback, Lambda
from localaws.sagemaker.engine.resources import RegisterModel, Resource, Tuning

STEP_TYPES: dict[str, Kind] = {
    "Processing": Resource("ProcessingJob", "ProcessingJob"),
    "Training": Resource("TrainingJob", "TrainingJob"),
    "Transform": Resource("TransformJob", "TransformJob"),
    "Tuning": Tuning("HyperParameterTuningJob", "TuningJob"),
    "Model": Resource("Model", "Model", done=None),
    "RegisterModel": RegisterModel(),
    "Condition": Condition(),
    "Fail": Fail(),
    "Callback": Callback(),
    "Lambda": Lambda(),
}


def runnable(operations: Collection[str]) -> frozenset[str]:
    """The types whose SageMaker operation is among those that are there."""
    return frozenset(name for name, kind in STEP_TYPES.items() if kind.operation() in (None, *operations))
