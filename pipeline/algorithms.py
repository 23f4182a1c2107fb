"""What trains the model: our own recipe, SageMaker's built-in algorithm, or an image that a person brings.

Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/IC-Hyperparameter.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

from processing.layout import LARGEST_PRETRAIN_SIDE
from training import recipe

if TYPE_CHECKING:
    from pipeline.search import Tuning
    from pipeline.settings import Settings

Name = Literal["pytorch", "image-classification", "custom"]


PYTORCH: Name = "pytorch"
BUILT_IN: Name = "image-classification"
CUSTOM: Name = "custom"

# Where they differ from what our own recipe has. The built-in algorithm's learning rate is that of He et al.
# (https://arxiv.org/abs/1512.03385, CIFAR-10: 0.1 for batches of 128, momentum 0.9), for batches of 32.
DEFAULTS: dict[str, dict[str, Any]] = {
    PYTORCH: {},
    BUILT_IN: {
        "training_instance_type": "ml.g4dn.xlarge",
        "epochs": 30,
        "learning_rate": 0.025,
        "batch_size": 32,
        "weight_decay": 0.0001,
    },
    CUSTOM: {"epochs": 30, "learning_rate": 0.001, "batch_size": 32, "weight_decay": 0.0001},
}
# The recipe's that have a meaning with a pretrain channel only.
PRETRAINING = ("fine_tuning", "pretrain_epochs")
# Hyperparameters that the pipeline sets itself, from settings or data.
OWN: dict[str, frozenset[str]] = {
    PYTORCH: frozenset(
        (
            "classes",
            "preset",
            "epochs",
            "learning-rate",
            "batch-size",
            "weight-decay",
            "width",
            "augmentation",
            "seed",
        )
    ),
    BUILT_IN: frozenset(
        (
            "num_classes",
            "num_training_samples",
            "image_shape",
            "epochs",
            "learning_rate",
            "mini_batch_size",
            "weight_decay",
        )
    ),
    CUSTOM: frozenset(
        ("classes", "image-size", "epochs", "learning-rate", "batch-size", "weight-decay", "seed")
    ),
}
# The built-in algorithm's other hyperparameters: it refuses any that it does not know, minutes later.
BUILT_IN_NAMES = frozenset(
    (
        "augmentation_type",
        "beta_1",
        "beta_2",
        "checkpoint_frequency",
        "early_stopping",
        "early_stopping_min_epochs",
        "early_stopping_patience",
        "early_stopping_tolerance",
        "eps",
        "gamma",
        "kv_store",
        "lr_scheduler_factor",
        "lr_scheduler_step",
        "momentum",
        "multi_label",
        "num_layers",
        "optimizer",
        "precision_dtype",
        "top_k",
        "use_pretrained_model",
        "use_weighted_loss",
    )
)
# For small images, then for large: https://docs.aws.amazon.com/sagemaker/latest/dg/IC-Hyperparameter.html
BUILT_IN_LAYERS = ("20", "32", "44", "56", "110", "18", "34", "50", "101", "152", "200")
_GPU = re.compile(r"ml\.(p2|p3|g4dn|g5)\.")


def texts(value: Any) -> Any:
    """The `hyperparameters` setting: a table, or in a variable a JSON object; SageMaker takes texts only."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError('a JSON object is wanted, such as {"momentum": 0.8}') from None
    if not isinstance(value, dict):
        raise ValueError("a table of names and values is wanted")
    for name, item in value.items():
        if isinstance(item, bool) or not isinstance(item, (str, int, float)):
            raise ValueError(f"{name}: a text or a number is wanted, not {item!r}")
    return {name: str(item) for name, item in value.items()}


def script_name(name: str) -> str:
    """A hyperparameter as the training script's option has it: settings have underscores, options dashes."""
    return name.replace("_", "-")


def own_inference_image(settings: Settings) -> str:
    """The image of one's own that serves; empty where AWS's does."""
    return settings.inference_image_uri or (
        settings.training_image_uri if settings.algorithm == CUSTOM else ""
    )


def check(settings: Settings) -> None:
    """Raises ValueError, with a sentence that begins with the setting's name."""
    algorithm = settings.algorithm
    if algorithm != PYTORCH:
        for name, asked in (
            ("preset", settings.preset != "default"),
            ("pretrain", settings.pretrain),
            ("tuning", settings.tuning is not None),
        ):
            if asked:
                raise ValueError(f"{name}: only the algorithm {PYTORCH} has it")
    if settings.pretrain and settings.image_size > LARGEST_PRETRAIN_SIDE:
        raise ValueError(
            f"image_size: at most {LARGEST_PRETRAIN_SIDE} with pretrain, which is held in memory"
        )
    if algorithm == CUSTOM and not settings.training_image_uri:
        raise ValueError("training_image_uri: the algorithm custom needs the image that trains")
    if algorithm == BUILT_IN and (settings.training_image_uri or settings.inference_image_uri):
        raise ValueError(f"training_image_uri and inference_image_uri: {BUILT_IN} has its own; choose custom")
    known: set[str] = set()
    for name in sorted(settings.hyperparameters):
        known_as = script_name(name) if algorithm == PYTORCH else name
        if known_as in known:
            raise ValueError(f"hyperparameters: {name} is given twice, with a dash and with an underscore")
        known.add(known_as)
        if known_as in OWN[algorithm] or name.startswith("sagemaker_"):
            raise ValueError(f"hyperparameters: {name} comes from the other settings or from the data")
        if algorithm == BUILT_IN and name not in BUILT_IN_NAMES:
            raise ValueError(
                f"hyperparameters: {BUILT_IN} has no {name}; it has {', '.join(sorted(BUILT_IN_NAMES))}"
            )
    if algorithm == BUILT_IN:
        _check_built_in(settings)
    if algorithm == PYTORCH:
        _check_recipe(settings)
        if settings.tuning is not None:
            _check_search(settings, settings.tuning)


def _check_search(settings: Settings, tuning: Tuning) -> None:
    """What no training job of a search would measure, or find."""
    given = {name.replace("-", "_"): text for name, text in settings.hyperparameters.items()}
    if given.get("calibration_folds") == "0":
        raise ValueError(
            f"hyperparameters: {tuning.objective}, which tuning looks at, needs calibration_folds"
        )
    for name in sorted(tuning.ranges):
        if name in given:
            raise ValueError(
                f"hyperparameters: {name} is tuned: leave out its value here, or its range there"
            )
        if name in PRETRAINING and not settings.pretrain:
            raise ValueError(f"tuning: {name} means nothing without pretrain")


def _check_built_in(settings: Settings) -> None:
    layers = settings.hyperparameters.get("num_layers")
    if layers and layers not in BUILT_IN_LAYERS:
        raise ValueError(
            f"hyperparameters: {BUILT_IN} has no network of {layers} num_layers; "
            f"it has {', '.join(BUILT_IN_LAYERS)}"
        )
    if not _GPU.match(settings.training_instance_type):
        raise ValueError(
            f"training_instance_type: {BUILT_IN} trains on the GPUs of P2, P3, G4dn and G5 instances, "
            f"such as ml.g4dn.xlarge, not on {settings.training_instance_type}"
        )
    for name in ("learning_rate", "weight_decay"):
        if getattr(settings, name) > 1:
            raise ValueError(f"{name}: {BUILT_IN} takes at most 1")


def _check_recipe(settings: Settings) -> None:
    """What the training script would refuse, before an instance is paid for."""
    for name in ("epochs", "learning_rate", "batch_size", "weight_decay", "width", "augmentation", "seed"):
        try:
            recipe.make(given={name: getattr(settings, name)})
        except recipe.HyperparameterError as error:
            raise ValueError(f"{name}: {error}") from None
    try:
        arguments = [f"--{script_name(name)}={text}" for name, text in settings.hyperparameters.items()]
        recipe.from_namespace(recipe.parser().parse_args(arguments))
    except recipe.HyperparameterError as error:
        raise ValueError(f"hyperparameters: {error}") from None
