"""The hyperparameters: one frozen dataclass, and the command line that is derived from it."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn


class HyperparameterError(Exception):
    """A hyperparameter that is unknown, mistyped or out of range."""


def _option(default: Any, text: str, *, low: float = 0, high: float = 0, choices: Sequence[str] = ()) -> Any:
    return field(
        default=default, metadata={"help": text, "low": low, "high": high, "choices": tuple(choices)}
    )


@dataclass(frozen=True)
class Recipe:
    """How to train. Each field is a hyperparameter of the training job, spelled with dashes there.

    `docs/training.md` says what each ingredient is worth.
    """

    classes: str = _option(
        "bicycle,motorcycle", "class names in the order of their labels, separated by commas"
    )
    epochs: int = _option(26, "passes over the training images", low=1, high=10_000)
    optimiser: str = _option("muon", "of the convolutions; adamw: of everything", choices=("muon", "adamw"))
    learning_rate: float = _option(0.1, "highest learning rate of the one-cycle schedule", low=1e-8, high=10)
    batch_size: int = _option(25, "images a step", low=2, high=65_536)
    weight_decay: float = _option(0.1, "decoupled weight decay of the convolutions", high=10)
    seed: int = _option(0, "decides every random number of the run", high=2**63 - 1)
    width: int = _option(
        32, "channels of the first stage; the others have three times as many", low=1, high=1024
    )
    whitening: bool = _option(True, "compute the first layer from the images' patches instead of training it")
    augmentation: float = _option(
        1.0, "multiplies shift, affine, colour, greyscale, cutout and cutmix", high=4
    )
    flip: bool = _option(True, "mirror half of the training images")
    shift: float = _option(
        0.1, "how far images are moved by whole pixels, as a share of the side; 0: not at all", high=0.5
    )
    affine: float = _option(0.0, "strength of rotation, scaling and shear, which blur; 0: none", high=4)
    colour: float = _option(
        0.5, "strength of changes of brightness, contrast and saturation; 0: none", high=2
    )
    greyscale: float = _option(0.2, "share of the training images whose colours are taken away", high=1)
    cutmix: float = _option(0.5, "share of the batches in which each image gets a part of another", high=1)
    cutout: float = _option(0.125, "side of the greyed-out square as a share of the image's; 0: none", high=1)
    small_share: float = _option(0.0, "share of the run at its beginning in which images are small", high=1)
    small_side: float = _option(0.75, "side of the small images as a share of the full one", low=0.1, high=1)
    label_smoothing: float = _option(0.1, "share of the target that is spread over all classes", high=0.9)
    ema: float = _option(
        0.99, "decay a step of the moving average of the weights; 0: no average", high=0.99999
    )
    flip_average: bool = _option(True, "average the logits of an image and its mirror image when predicting")
    pretrain_epochs: int = _option(
        4, "passes over the other classes' images, where the job has a pretrain channel", low=1, high=1000
    )
    fine_tuning: float = _option(
        0.2, "share of the learning rate with which a pretrained network goes on", low=1e-6, high=1
    )
    calibration_folds: int = _option(2, "folds of the cross-validation that calibrates; 0: none", high=100)
    patience: int = _option(
        0, "epochs without a lower training loss after which to stop; 0: never stop early", high=10_000
    )
    precision: str = _option(
        "auto", "what convolutions are trained in", choices=("auto", "float32", "bfloat16", "float16")
    )
    threads: int = _option(0, "CPU threads of each of its processes; 0: as the cores allow", high=1024)


# What `--preset` changes of the defaults; a hyperparameter that is given as well wins.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"epochs": 9, "width": 24, "small_share": 0.6, "ema": 0.98, "cutmix": 0.0},
}


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
    """A command line with an option for each field of Recipe, and the preset."""
    result = _Parser(prog="train.py", description="Trains the image classifier.", allow_abbrev=False)
    presets = "; ".join(
        f"{name}: " + ", ".join(f"--{option.replace('_', '-')} {value}" for option, value in changes.items())
        for name, changes in PRESETS.items()
        if changes
    )
    preset = result.add_mutually_exclusive_group()
    preset.add_argument(
        "--preset", choices=tuple(PRESETS), default="default", help=f"other defaults ({presets})"
    )
    preset.add_argument(
        "--fast",
        dest="preset",
        action="store_const",
        const="fast",
        default=argparse.SUPPRESS,
        help="the same as --preset fast",
    )
    for option in dataclasses.fields(Recipe):
        kind: Any = boolean if option.type is bool else option.type
        notes = [*option.metadata["choices"], f"default: {option.default}"]
        note = f"{option.metadata['help']} ({', '.join(notes)})"
        # Suppressed, so that what was given can be told from what was not: presets stand between.
        result.add_argument(
            "--" + option.name.replace("_", "-"), type=kind, default=argparse.SUPPRESS, help=note
        )
    return result


def check(recipe: Recipe) -> Recipe:
    """The recipe itself; raises HyperparameterError if a value is out of its range."""
    for option in dataclasses.fields(recipe):
        name, value, limits = option.name.replace("_", "-"), getattr(recipe, option.name), option.metadata
        if limits["choices"] and value not in limits["choices"]:
            raise HyperparameterError(f"{name} must be one of {', '.join(limits['choices'])}, not {value!r}")
        # Written so that a NaN is refused too.
        if limits["high"] and not limits["low"] <= value <= limits["high"]:
            raise HyperparameterError(
                f"{name} must be between {limits['low']} and {limits['high']}, not {value}"
            )
    if recipe.calibration_folds == 1:
        raise HyperparameterError("calibration-folds must be 0 or at least 2, not 1")
    return recipe


def make(preset: str = "default", given: Mapping[str, Any] | None = None) -> Recipe:
    """The defaults, changed by the preset, changed by what was given. Raises HyperparameterError."""
    return check(Recipe(**{**PRESETS[preset], **(given or {})}))


def from_namespace(values: argparse.Namespace) -> Recipe:
    known = {option.name for option in dataclasses.fields(Recipe)}
    return make(values.preset, {name: value for name, value in vars(values).items() if name in known})
