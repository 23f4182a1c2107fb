"""The hyperparameters: one frozen dataclass, and the command line that is derived from it."""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn


class HyperparameterError(Exception):
    """A hyperparameter that is unknown, mistyped or out of range."""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Recipe:
    """How to train. Each field is a hyperparameter of the training job, spelled with dashes there."""

    classes: str = _option(
        "bicycle,motorcycle", "class names in the order of their labels, separated by commas"
    )
    epochs: int = _option(32, "passes over the training images")
    learning_rate: float = _option(0.004, "highest learning rate of the one-cycle schedule")
    batch_size: int = _option(50, "images a step")
    weight_decay: float = _option(0.05, "AdamW's decoupled weight decay")
    seed: int = _option(0, "decides every random number of the run")
    width: int = _option(
        32, "channels of the first stage; the second and third have twice and four times as many"
    )
    augmentation: float = _option(
        1.0, "strength of the random changes to training images; 0 leaves only flips"
    )
    mixup: float = _option(0.2, "Beta distribution's parameter for blending pairs of images; 0 blends none")
    label_smoothing: float = _option(0.1, "share of the target that is spread over all classes")
    ema: float = _option(0.98, "decay a step of the moving average of the weights; 0 keeps no average")
    flip_average: bool = _option(True, "average the logits of an image and its mirror image when predicting")
    patience: int = _option(
        0, "epochs without a lower training loss after which to stop; 0 never stops early"
    )
    precision: str = _option("auto", "auto, float32, bfloat16 or float16: what convolutions are trained in")
    calibration_folds: int = _option(
        2, "folds of the cross-validation that calibrates the confidences; 0: none"
    )
    threads: int = _option(0, "CPU threads; 0 takes all that the job may use")


RANGES = {
    "epochs": (1, 10_000),
    "learning_rate": (1e-8, 10.0),
    "batch_size": (2, 65_536),
    "weight_decay": (0.0, 10.0),
    "seed": (0, 2**63 - 1),
    "width": (1, 1024),
    "augmentation": (0.0, 4.0),
    "mixup": (0.0, 10.0),
    "label_smoothing": (0.0, 0.9),
    "ema": (0.0, 0.99999),
    "patience": (0, 10_000),
    "calibration_folds": (0, 100),
    "threads": (0, 1024),
}
CHOICES = {"precision": ("auto", "float32", "bfloat16", "float16")}


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print its usage and exit with code 2."""

    def error(self, message: str) -> NoReturn:
        raise HyperparameterError(f"{message}; `train.py --help` lists the hyperparameters")


def boolean(text: str) -> bool:
    """SageMaker hands every hyperparameter over as text, so a flag has a value."""
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"true or false is expected, not {text!r}") from None


def parser() -> argparse.ArgumentParser:
    """A command line with an option for each field of Recipe."""
    result = _Parser(prog="train.py", description="Trains the image classifier.", allow_abbrev=False)
    for option in dataclasses.fields(Recipe):
        kind: Any = boolean if option.type is bool else option.type
        result.add_argument(
            "--" + option.name.replace("_", "-"),
            type=kind,
            default=option.default,
            help=f"{option.metadata['help']} (default: {option.default})",
        )
    return result


def check(recipe: Recipe) -> Recipe:
    """The recipe itself; raises HyperparameterError if a number is out of its range."""
    for name, (low, high) in RANGES.items():
        value = getattr(recipe, name)
        if not low <= value <= high:
            raise HyperparameterError(
                f"{name.replace('_', '-')} must be between {low} and {high}, not {value}"
            )
    if recipe.calibration_folds == 1:
        raise HyperparameterError("calibration-folds must be 0 or at least 2, not 1")
    for name, choices in CHOICES.items():
        if (value := getattr(recipe, name)) not in choices:
            raise HyperparameterError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return recipe


def from_namespace(values: argparse.Namespace) -> Recipe:
    return check(
        Recipe(**{option.name: getattr(values, option.name) for option in dataclasses.fields(Recipe)})
    )


def parse(arguments: Sequence[str]) -> Recipe:
    """A recipe from hyperparameters alone; raises HyperparameterError."""
    return from_namespace(parser().parse_args(arguments))
