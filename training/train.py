"""The training job's entry point: script mode of the SageMaker PyTorch container, or a plain command.

    python train.py --train DIR --validation DIR --model-dir DIR --classes bicycle,motorcycle

In a job the folders come from the container's environment variables and the hyperparameters as options.
"""

import argparse
import os
import platform
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training import recipe as recipes
    from training.data import Channel, ChannelError, read_channel
    from training.fit import DivergedError, Epoch, Trainer, fit
    from training.model import ModelCard, class_names, save_model
else:
    import recipe as recipes
    from data import Channel, ChannelError, read_channel
    from fit import DivergedError, Epoch, Trainer, fit
    from model import ModelCard, class_names, save_model

# What the model container needs, in the model's `code/` folder.
SERVING_CODE = ("inference.py", "model.py")
USER_ERRORS = (ChannelError, recipes.HyperparameterError, DivergedError)


def log(line: str) -> None:
    """A line at once: a job's log is followed while it runs."""
    print(line, flush=True)


def parser() -> argparse.ArgumentParser:
    result = recipes.parser()
    environment = os.environ
    folders = {
        "train": (
            "SM_CHANNEL_TRAIN",
            "/opt/ml/input/data/train",
            "folder of training images with its .lst file",
        ),
        "validation": (
            "SM_CHANNEL_VALIDATION",
            "/opt/ml/input/data/validation",
            "the same of validation images",
        ),
        "model-dir": ("SM_MODEL_DIR", "/opt/ml/model", "where the model goes"),
        "output-data-dir": ("SM_OUTPUT_DATA_DIR", "/opt/ml/output/data", "where pictures and metrics go"),
    }
    for name, (variable, default, text) in folders.items():
        place = Path(environment.get(variable, default))
        result.add_argument(f"--{name}", type=Path, default=place, help=f"{text} (default: ${variable})")
    return result


def read_channels(options: argparse.Namespace, classes: int) -> tuple[Channel, Channel]:
    for name in ("train", "validation"):
        folder: Path = getattr(options, name)
        if not folder.is_dir():
            raise ChannelError(
                f"the {name} channel's folder {folder} is missing: give the job a channel named {name!r}"
            )
    train = read_channel(options.train, classes)
    size = (train.images.shape[3], train.images.shape[2])
    validation = read_channel(options.validation, classes, size)
    missing = set(range(classes)) - set(train.labels.tolist())
    if missing:
        raise ChannelError(
            f"the train channel has no image of label {min(missing)}, though 'classes' names {classes}"
        )
    return train, validation


def save(folder: Path, trainer: Trainer, card: ModelCard) -> None:
    """What becomes model.tar.gz: weights, card and the code that serves them."""
    save_model(folder, trainer.result, card)
    code = folder / "code"
    code.mkdir(exist_ok=True)
    for name in SERVING_CODE:
        shutil.copyfile(Path(__file__).with_name(name), code / name)


def run(arguments: Sequence[str]) -> None:
    options = parser().parse_args(arguments)
    recipe = recipes.from_namespace(options)
    try:
        names = class_names(recipe.classes)
    except ValueError as error:
        raise recipes.HyperparameterError(f"hyperparameter 'classes': {error}") from None
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    train, validation = read_channels(options, len(names))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = Trainer(recipe, train, len(names), device)
    parameters = sum(p.numel() for p in trainer.network.parameters())
    log(
        f"{len(train)} training images, {len(validation)} validation images, {len(names)} classes; "
        f"{parameters:,} parameters on {device}, {torch.get_num_threads()} threads"
    )
    history: list[Epoch] = []

    def report(epoch: Epoch) -> None:
        history.append(epoch)
        log(epoch.line())

    fit(trainer, validation, report)
    card = ModelCard(
        classes=names,
        image_size=(train.images.shape[3], train.images.shape[2]),
        width=recipe.width,
        flip_average=recipe.flip_average,
        trained={
            "images": len(train),
            "epochs": trainer.epoch,
            "seed": recipe.seed,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    )
    save(options.model_dir, trainer, card)
    log(f"model written to {options.model_dir}")


def write_failure(message: str) -> None:
    """`/opt/ml/output/failure`: what SageMaker shows as the job's failure reason (1,024 characters of it)."""
    folder = Path(os.environ.get("SM_OUTPUT_DIR", "/opt/ml/output"))
    if folder.is_dir():
        (folder / "failure").write_text(message[:1024], encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after the failure file is written: one sentence, be it a user's mistake or a crash."""
    try:
        run(sys.argv[1:] if arguments is None else arguments)
    except USER_ERRORS as error:
        message = str(error)
    except Exception as error:  # noqa: BLE001 - the job's last error must reach the failure file, whatever it is
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
    else:
        return 0
    write_failure(message)
    print(f"error: {message}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
