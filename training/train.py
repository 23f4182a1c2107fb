"""The training job's entry point: script mode of the SageMaker PyTorch container, or a plain command.

    python train.py --train DIR --validation DIR --model-dir DIR --classes bicycle,motorcycle

In a job the folders come from the container's environment variables and the hyperparameters as options.
"""

import argparse
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training import crossvalidate
    from training import recipe as recipes
    from training.data import Channel, ChannelError, read_arrays, read_channel
    from training.fit import DivergedError, Run, Trainer, set_up
    from training.job import Job, cores, threads_for
    from training.model import class_names
    from training.pretrain import pretrain
else:
    import crossvalidate
    import recipe as recipes
    from data import Channel, ChannelError, read_arrays, read_channel
    from fit import DivergedError, Run, Trainer, set_up
    from job import Job, cores, threads_for
    from model import class_names
    from pretrain import pretrain


class FolderError(Exception):
    """A folder of the job that cannot be written."""


CHECKPOINTS = Path("/opt/ml/checkpoints")
PRETRAIN = Path("/opt/ml/input/data/pretrain")
USER_ERRORS = (
    ChannelError,
    recipes.HyperparameterError,
    DivergedError,
    FolderError,
    crossvalidate.CrossValidationError,
)


class Termination:
    """Set by SIGTERM, which SageMaker sends two minutes before it kills a job that it stops, or by Ctrl-C."""

    def __init__(self) -> None:
        self.signal = 0

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number

    def __call__(self) -> bool:
        return bool(self.signal)


def log(line: str) -> None:
    """A line at once: a job's log is followed while it runs."""
    print(line, flush=True)


def parser() -> argparse.ArgumentParser:
    result = recipes.parser()
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
        "pretrain": (
            "SM_CHANNEL_PRETRAIN",
            str(PRETRAIN),
            "arrays of other classes' images to pretrain on; the default only if it is there",
        ),
        "model-dir": ("SM_MODEL_DIR", "/opt/ml/model", "where the model goes"),
        "output-data-dir": ("SM_OUTPUT_DATA_DIR", "/opt/ml/output/data", "where metrics and curves go"),
        "checkpoint-dir": (
            "CHECKPOINT_DIR",
            str(CHECKPOINTS),
            "where the run's state is kept; the default only if it is there",
        ),
    }
    for name, (variable, default, text) in folders.items():
        place = Path(os.environ.get(variable, default))
        result.add_argument(f"--{name}", type=Path, default=place, help=f"{text} (default: ${variable})")
    return result


def read_channels(options: argparse.Namespace, names: Sequence[str]) -> tuple[Channel, Channel]:
    for name in ("train", "validation"):
        folder: Path = getattr(options, name)
        if not folder.is_dir():
            raise ChannelError(
                f"the {name} channel's folder {folder} is missing: give --{name} DIR, or the job a channel "
                f"named {name!r}"
            )
    train = read_channel(options.train, len(names))
    size = (train.images.shape[3], train.images.shape[2])
    validation = read_channel(options.validation, len(names), size)
    missing = set(range(len(names))) - set(train.labels.tolist())
    if missing:
        label = min(missing)
        raise ChannelError(f"the train channel has no image of {names[label]}, which is label {label}")
    return train, validation


def check_enough(train: Channel) -> None:
    """Whether each class can be both learned from and held out. Raises ChannelError."""
    label, images = min(enumerate(train.labels.bincount().tolist()), key=lambda pair: pair[1])
    if images < 2:
        raise ChannelError(
            f"the train channel has one image of label {label}, and the calibration needs "
            "two of each class: add images, or set calibration-folds to 0"
        )


def make_folders(*folders: Path) -> None:
    """Before the training, so that its result has a place to go. Raises FolderError."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise FolderError(
                f"{folder} cannot be written ({error.strerror}): choose --model-dir, --output-data-dir and "
                "--checkpoint-dir"
            ) from None


def train(arguments: Sequence[str]) -> int:
    """Raises one of USER_ERRORS; returns the exit code."""
    options = parser().parse_args(arguments)
    recipe = recipes.from_namespace(options)
    try:
        names = class_names(recipe.classes)
    except ValueError as error:
        raise recipes.HyperparameterError(f"hyperparameter 'classes': {error}") from None
    # First of all: see Worker.
    with crossvalidate.Worker() if recipe.calibration_folds else nullcontext() as worker:
        termination = Termination()
        termination.install()
        return train_beside(worker, recipe, names, options, termination)


def train_beside(
    worker: crossvalidate.Worker | None,
    recipe: recipes.Recipe,
    names: tuple[str, ...],
    options: argparse.Namespace,
    termination: Termination,
) -> int:
    """`worker` is for the cross-validation."""
    folders = [options.model_dir, options.output_data_dir]
    if options.checkpoint_dir != CHECKPOINTS or CHECKPOINTS.is_dir():  # a job that asked for none has none
        folders.append(options.checkpoint_dir)
    make_folders(*folders)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train, validation = read_channels(options, names)
    if recipe.calibration_folds:
        check_enough(train)
    trunk = None
    if options.pretrain != PRETRAIN or PRETRAIN.is_dir():  # a job without the channel has no such folder
        set_up(recipe.threads or cores())
        others = read_arrays(options.pretrain, (train.images.shape[3], train.images.shape[2]))
        trunk = pretrain(recipe, others, device, options.checkpoint_dir, log, termination)
        if trunk is None:
            return stopped(termination, options.checkpoint_dir)
    set_up(threads_for(recipe))
    trainer = Trainer(recipe, train, len(names), device, trunk)
    parameters = sum(p.numel() for p in trainer.network.parameters())
    log(
        f"{len(train)} training images, {len(validation)} validation images, {len(names)} classes; "
        f"{parameters:,} parameters in {str(trainer.precision).removeprefix('torch.')} on {device}, "
        f"{torch.get_num_threads()} threads"
    )
    job = Job(Run(trainer, validation), worker, options.checkpoint_dir, log, termination)
    job.restore()
    if not job.train():
        return stopped(termination, options.checkpoint_dir)
    job.finish(names, options.model_dir, options.output_data_dir)
    return 0


def stopped(termination: Termination, checkpoints: Path) -> int:
    """Says what is left of the run; returns the exit code."""
    kept = f"its state is kept in {checkpoints}" if checkpoints.is_dir() else "nothing is kept of it"
    log(f"stopped by a signal: {kept}")
    return 128 + termination.signal


def write_failure(message: str) -> None:
    """`/opt/ml/output/failure`: what SageMaker shows as the job's failure reason (1,024 characters of it)."""
    folder = Path(os.environ.get("SM_OUTPUT_DIR", "/opt/ml/output"))
    if folder.is_dir():
        try:
            (folder / "failure").write_bytes(message[:1024].encode(errors="backslashreplace"))
        except OSError as error:
            print(f"warning: the failure file was not written: {error}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 128 + its number after a signal; or 1 after the failure file is written."""
    try:
        return train(sys.argv[1:] if arguments is None else arguments)
    except USER_ERRORS as error:
        message = str(error)
    except OSError as error:  # a disk that is full, a folder that went away
        message = f"{error.filename or 'the output'}: {error.strerror or error}"
    except Exception as error:  # noqa: BLE001 - the job's last error must reach the failure file, whatever it is
        traceback.print_exc()
        message = f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
    write_failure(message)
    print(f"error: {message}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by who started the job
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process
    code = main()
    with suppress(OSError):  # nobody reads it
        sys.stdout.flush()
    os._exit(code)  # all is written; torch would take a second to take itself apart
