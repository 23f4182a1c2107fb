"""The container that serves the trained model: to a transform job, and out of the registry."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.steps import TrainingStep, TuningStep

from pipeline import algorithms
from pipeline.steps.context import StepContext
from pipeline.steps.tune_model import model_uri

# Where the inference toolkit finds the code that training put into model.tar.gz.
SCRIPT_MODE = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}


def container(context: StepContext, train_model: TrainingStep | TuningStep) -> dict[str, Any]:
    """A container definition of CreateModel and of CreateModelPackage."""
    script_mode = context.settings.algorithm == algorithms.PYTORCH
    return {
        "Image": context.inference_image(),
        "ModelDataUrl": model_uri(train_model),
        **({"Environment": SCRIPT_MODE} if script_mode else {}),
    }


def recorded(session: PipelineSession, create: Callable[..., Any], **request: Any) -> Any:
    """What a ModelStep is made of: the request that `create(session, ...)` would send.

    This is what `ModelBuilder.register` and `.build` end in. The builder itself is left out: it looks for the
    bucket over the network, uploads code, and can add a training job that only packs the artifact anew.
    """
    session.init_model_step_arguments(SimpleNamespace(sagemaker_session=session))
    create(session, **request)
    arguments, session.context = session.context, None
    return arguments
