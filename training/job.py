"""What a training job does, phase by phase, so that it can be interrupted in any and go on."""

import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training import checkpoint, crossvalidate, curves
    from training.calibrate import Calibration, calibrate
    from training.fit import Run
    from training.model import ModelCard, channels_for, save_model, write_whole
    from training.recipe import Recipe
else:
    import checkpoint
    import crossvalidate
    import curves
    from calibrate import Calibration, calibrate
    from fit import Run
    from model import ModelCard, channels_for, save_model, write_whole
    from recipe import Recipe

# What the model container needs, in the model's `code/` folder.
SERVING_CODE = ("inference.py", "model.py", "images.py")
# Between two checkpoints: little is lost by a kill, and little time by writing them.
CHECKPOINT_SECONDS = 10.0


def cores() -> int:
    """How many this process may be put on, as a cpuset or `taskset` says; no quota is seen."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_for(recipe: Recipe) -> int:
    """Of each process: the cross-validation runs beside the training, with as many."""
    return recipe.threads or max(1, cores() // (2 if recipe.calibration_folds else 1))


@dataclass
class Job:
    """A run, with its cross-validation beside it. `folder` for checkpoints is used where it exists.

    `worker` has not begun; None where nothing is cross-validated.
    """

    run: Run
    worker: crossvalidate.Worker | None
    folder: Path
    log: Callable[[str], None]
    interrupted: Callable[[], bool]
    held_out: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        trainer = self.run.trainer
        self.recipe = trainer.recipe
        trunk = (trainer.trunk or {}).values()
        validation = self.run.validation
        self.owner = checkpoint.fingerprint(
            repr(trainer.recipe),
            str(trainer.precision),  # what `auto` comes to on this device
            trainer.train.images,
            trainer.train.labels,
            validation.images,  # what an epoch says of them is part of the state
            validation.labels,
            *trunk,
        )
        self.keeps = self.folder.is_dir()
        self.saved = time.monotonic()
        folds = min(self.recipe.calibration_folds, len(trainer.train))
        self.parts = crossvalidate.split(trainer.train.labels, folds, self.recipe.seed)

    def restore(self) -> None:
        """Goes back to where an earlier start of the same job was interrupted."""
        if not self.keeps:
            return
        state = checkpoint.load(self.folder, self.owner, self.log)
        if state is not None:
            self.run.load_state_dict(state["run"])
            self.held_out = state["held_out"]
            self.log(f"going on from {self.folder} after {self.run.trainer.epoch} epochs")

    def keep(self, *, now: bool = False) -> None:
        if self.keeps and (now or time.monotonic() - self.saved > CHECKPOINT_SECONDS):
            state: dict[str, Any] = {"run": self.run.state_dict(), "held_out": self.held_out}
            checkpoint.save(self.folder, self.owner, state)
            self.saved = time.monotonic()

    def train(self) -> bool:
        """Logs a line an epoch and one a fold; False if interrupted."""
        self._cross_validate()
        try:
            while not self.run.trainer.finished:
                epoch = self.run.epoch(self.interrupted)
                if epoch is None:
                    return False
                self.log(epoch.line(self.recipe.epochs))
                self._take(wait=False)
                self.keep()
            if self.run.trainer.epoch < self.recipe.epochs:
                self.log(f"stopped early: the training loss has not fallen for {self.recipe.patience} epochs")
            self.keep(now=True)
            self._take(wait=True)
            return len(self.held_out) == len(self.parts)
        finally:
            if self.interrupted():
                self.keep(now=True)

    def _cross_validate(self) -> None:
        """Has the worker begin with the folds that are left."""
        parts = self.parts[len(self.held_out) :]
        if self.worker is None or not parts:
            return
        trainer = self.run.trainer
        folds = crossvalidate.Folds(
            self.recipe,
            trainer.train,
            parts,
            trainer.classes,
            trainer.device,
            torch.get_num_threads(),
            trainer.trunk,
        )
        self.worker.begin(folds)

    def _take(self, *, wait: bool) -> None:
        if self.worker is None:
            return
        labels = self.run.trainer.train.labels
        for logits in self.worker.results(wait=wait, interrupted=self.interrupted):
            part = self.parts[len(self.held_out)]
            self.held_out.append(logits)
            right = int((logits.argmax(1) == labels[part]).sum())
            number = len(self.held_out)
            self.log(f"fold={number} of {len(self.parts)}: {right} of {len(part)} held-out images right")
            if wait:  # no epoch will end any more, and so keep it
                self.keep(now=True)

    def calibration(self) -> Calibration | None:
        """From the cross-validation, where there was one."""
        if not self.held_out:
            return None
        labels = self.run.trainer.train.labels[torch.cat(self.parts)]
        result = calibrate(torch.cat(self.held_out), labels)
        self.log(result.line())
        return result

    def finish(self, names: tuple[str, ...], model_dir: Path, output_dir: Path) -> None:
        """Writes what becomes model.tar.gz (weights, card, serving code) and output.tar.gz."""
        found = self.calibration()
        card = describe(self.run, names, found)
        copy_serving_code(model_dir)
        save_model(model_dir, self.run.trainer.result, card)
        metrics = {
            "epochs": [dataclasses.asdict(epoch) for epoch in self.run.history],
            "calibration": dataclasses.asdict(found) if found else None,
        }
        write_whole(output_dir / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
        if not curves.draw(self.run.history, found, output_dir / "learning_curves.png"):
            self.log("no learning curves drawn: matplotlib is not installed here")
        self.log(f"model written to {model_dir}, metrics to {output_dir}")


def copy_serving_code(model_dir: Path) -> Path:
    """Into the model's `code/` folder, which is returned."""
    code = model_dir / "code"
    code.mkdir(exist_ok=True)
    for name in SERVING_CODE:
        (code / name).write_bytes(Path(__file__).with_name(name).read_bytes())
    return code


def describe(run: Run, names: tuple[str, ...], found: Calibration | None) -> ModelCard:
    trainer = run.trainer
    return ModelCard(
        classes=names,
        image_size=(trainer.train.images.shape[3], trainer.train.images.shape[2]),
        channels=channels_for(trainer.recipe.width),
        flip_average=trainer.recipe.flip_average,
        temperature=found.temperature if found else 1.0,
        threshold=found.threshold if found else None,
        trained={
            "images": len(trainer.train),
            "epochs": trainer.epoch,
            "hyperparameters": dataclasses.asdict(trainer.recipe),
            "calibration": {
                "folds": trainer.recipe.calibration_folds,
                "accuracy": found.accuracy,
                "error": found.error,
                "target": found.target,
                "coverage": found.coverage,
            }
            if found
            else None,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    )
