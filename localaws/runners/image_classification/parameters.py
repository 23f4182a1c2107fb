"""The algorithm's hyperparameters: all are texts, two are required, an unknown one is refused.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/IC-Hyperparameter.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

LARGE_IMAGE_LAYERS = (18, 34, 50, 101, 152, 200)
LAYERS = (*LARGE_IMAGE_LAYERS, 20, 32, 44, 56, 110)
REQUIRED = ("num_classes", "num_training_samples")
# What the real algorithm has and the stand-in takes without doing it.
WITHOUT_EFFECT = (
    "early_stopping",
    "early_stopping_min_epochs",
    "early_stopping_patience",
    "early_stopping_tolerance",
    "kv_store",
    "num_layers",
    "precision_dtype",
    "use_pretrained_model",
    "use_weighted_loss",
)


class ClientError(Exception):
    """The customer's mistake; the message becomes the job's FailureReason."""


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def _one_of(*choices: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise ValueError
        return text

    return check


def _layers(text: str) -> int:
    value = int(text)
    if value not in LAYERS:
        raise ValueError
    return value


def _wholes(text: str) -> tuple[int, ...]:
    return tuple(_whole(part) for part in text.split(","))


def _shape(text: str) -> tuple[int, int, int]:
    channels, height, width = _wholes(text)
    if channels not in (1, 3):
        raise ValueError
    return channels, height, width


_BOOLEAN = _one_of("True", "False", "true", "false")
# Name → what reads its text, and the default; without one it is None.
KNOWN: dict[str, tuple[Callable[[str], Any], Any]] = {
    "num_classes": (_whole, None),
    "num_training_samples": (_whole, None),
    "augmentation_type": (_one_of("crop", "crop_color", "crop_color_transform"), None),
    "beta_1": (_share, 0.9),
    "beta_2": (_share, 0.999),
    "checkpoint_frequency": (_whole, None),
    "early_stopping": (_BOOLEAN, None),
    "early_stopping_min_epochs": (_whole, None),
    "early_stopping_patience": (_whole, None),
    "early_stopping_tolerance": (_share, None),
    "epochs": (_whole, 30),
    "eps": (_share, 1e-8),
    "gamma": (_share, 0.9),
    "image_shape": (_shape, (3, 224, 224)),
    "kv_store": (_one_of("dist_sync", "dist_async"), None),
    "learning_rate": (_share, 0.1),
    "lr_scheduler_factor": (_share, 0.1),
    "lr_scheduler_step": (_wholes, ()),
    "mini_batch_size": (_whole, 32),
    "momentum": (_share, 0.9),
    "multi_label": (_one_of("0", "1"), "0"),
    "num_layers": (_layers, 152),
    "optimizer": (_one_of("sgd", "adam", "rmsprop", "nag"), "sgd"),
    "precision_dtype": (_one_of("float32", "float16"), None),
    "resize": (_whole, None),
    "top_k": (_whole, None),
    "use_pretrained_model": (_one_of("0", "1"), None),
    "use_weighted_loss": (_one_of("0", "1"), None),
    "weight_decay": (_share, 0.0001),
}


def parse(given: Mapping[str, str]) -> dict[str, Any]:
    """Every hyperparameter with its value or default. Raises ClientError."""
    # A tuning job adds its own, whose names begin so.
    texts = {name: text for name, text in given.items() if not name.startswith("_")}
    for name in texts:
        if name not in KNOWN:
            raise ClientError(f"ClientError: Additional properties are not allowed ({name!r} was unexpected)")
    for name in REQUIRED:
        if name not in texts:
            raise ClientError(f"ClientError: {name!r} is a required property")
    values = {name: default for name, (_, default) in KNOWN.items()}
    for name, text in texts.items():
        try:
            values[name] = KNOWN[name][0](text)
        except ValueError:
            raise ClientError(f"ClientError: {text!r} is not a valid value of {name}") from None
    _check(values)
    return values


def _check(values: Mapping[str, Any]) -> None:
    if values["num_training_samples"] < values["mini_batch_size"]:
        raise ClientError(
            "ClientError: The number of input images must be bigger or equal to the mini_batch_size."
        )
    if values["use_pretrained_model"] == "1" and values["num_layers"] not in LARGE_IMAGE_LAYERS:
        raise ClientError(
            f"ClientError: use_pretrained_model=1 needs num_layers of {list(LARGE_IMAGE_LAYERS)}, "
            f"not {values['num_layers']}"
        )
    if (values["checkpoint_frequency"] or 1) > values["epochs"]:
        raise ClientError("ClientError: checkpoint_frequency must be no greater than epochs")
    if values["top_k"] == 1:
        raise ClientError("ClientError: top_k must be greater than 1")
    if values["multi_label"] == "1":
        raise ClientError("ClientError: the local stand-in has no multi-label classification")
