"""What a training job does, phase by phase, so that it can be interrupted in any and go on."""

import dataclasses
import json
import platform
import shutil
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
    from training.model import ModelCard, save_model
else:
    import checkpoint
    import crossvalidate
    import curves
    from calibrate import Calibration, calibrate
    from fit import Run
    from model import ModelCard, save_model

# What the model container needs, in the model's `code/` folder.
SERVING_CODE = ("inference.py", "model.py")
# Between two checkpoints: little is lost by a kill, and little time by writing them.
CHECKPOINT_SECONDS = 10.0


@dataclass
class Job:
    """A run, then its cross-validation. `folder` for checkpoints is used where it exists."""

    run: Run
    folder: Path
    log: Callable[[str], None]
    interrupted: Callable[[], bool]
    held_out: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        trainer = self.run.trainer
        self.owner = checkpoint.fingerprint(repr(trainer.recipe), trainer.train.images, trainer.train.labels)
        self.keeps = self.folder.is_dir()
        self.saved = time.monotonic()

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
        """Logs a line an epoch; False if interrupted."""
        while not self.run.finished():
            epoch = self.run.epoch(self.interrupted)
            self.keep(now=epoch is None)
            if epoch is None:
                return False
            self.log(epoch.line())
        recipe = self.run.trainer.recipe
        if self.run.trainer.epoch < recipe.epochs:
            self.log(f"stopped early: the training loss has not fallen for {recipe.patience} epochs")
        return True

    def cross_validate(self) -> bool:
        """Answers to all training images, fold by fold; False if interrupted."""
        trainer = self.run.trainer
        # An early stop is part of what is measured: the folds train as long as the run did.
        recipe = dataclasses.replace(trainer.recipe, epochs=trainer.epoch)
        parts = crossvalidate.split(trainer.train.labels, recipe.calibration_folds, recipe.seed)
        for number, part in enumerate(parts, start=1):
            if number <= len(self.held_out):
                continue
            start = time.monotonic()
            logits = crossvalidate.answers(
                recipe, trainer.train, part, trainer.classes, trainer.device, self.interrupted
            )
            if logits is None:
                self.keep(now=True)
                return False
            self.held_out.append(logits)
            self.keep(now=True)
            share = float((logits.argmax(1) == trainer.train.labels[part]).double().mean())
            seconds = time.monotonic() - start
            self.log(
                f"fold={number} of {len(parts)}: {share:.4f} of {len(part)} held-out images right; "
                f"{seconds:.2f} s"
            )
        return True

    def calibration(self) -> Calibration | None:
        """From the cross-validation, where there was one."""
        trainer = self.run.trainer
        if not self.held_out:
            return None
        parts = crossvalidate.split(trainer.train.labels, len(self.held_out), trainer.recipe.seed)
        result = calibrate(torch.cat(self.held_out), trainer.train.labels[torch.cat(parts)])
        self.log(result.line())
        return result

    def finish(self, names: tuple[str, ...], model_dir: Path, output_dir: Path) -> None:
        """Writes what becomes model.tar.gz (weights, card, serving code) and output.tar.gz."""
        found = self.calibration()
        card = describe(self.run, names, found)
        save_model(model_dir, self.run.trainer.result, card)
        code = model_dir / "code"
        code.mkdir(exist_ok=True)
        for name in SERVING_CODE:
            shutil.copyfile(Path(__file__).with_name(name), code / name)
        metrics = {
            "epochs": [dataclasses.asdict(epoch) for epoch in self.run.history],
            "calibration": dataclasses.asdict(found) if found else None,
        }
        (output_dir / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        if not curves.draw(self.run.history, found, output_dir / "learning_curves.png"):
            self.log("no learning curves drawn: matplotlib is not installed here")
        self.log(f"model written to {model_dir}, metrics to {output_dir}")


def describe(run: Run, names: tuple[str, ...], found: Calibration | None) -> ModelCard:
    trainer = run.trainer
    return ModelCard(
        classes=names,
        image_size=(trainer.train.images.shape[3], trainer.train.images.shape[2]),
        width=trainer.recipe.width,
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
