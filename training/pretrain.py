"""Learns a trunk from other classes first: everything of the network but its head.

The state is kept in the checkpoints' subfolder `pretrain`, so that an interrupted job does not begin again.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training import checkpoint
    from training.data import Channel
    from training.fit import Trainer
    from training.model import Network
    from training.recipe import Recipe
else:
    import checkpoint
    from data import Channel
    from fit import Trainer
    from model import Network
    from recipe import Recipe

FOLDER = "pretrain"
HEAD = "head."


def trunk_of(network: Network) -> dict[str, Tensor]:
    """Weights and statistics on the CPU, without the head's."""
    return {name: value.cpu() for name, value in network.state_dict().items() if not name.startswith(HEAD)}


def pretrain(
    recipe: Recipe,
    others: Channel,
    device: torch.device,
    checkpoints: Path,
    log: Callable[[str], None],
    interrupted: Callable[[], bool],
) -> dict[str, Tensor] | None:
    """The trunk, trained for `pretrain_epochs` by the same recipe; None if interrupted.

    Raises DivergedError.
    """
    classes = int(others.labels.max()) + 1
    trainer = Trainer(replace(recipe, epochs=recipe.pretrain_epochs, patience=0), others, classes, device)
    folder, owner = (
        checkpoints / FOLDER,
        checkpoint.fingerprint(repr(trainer.recipe), str(trainer.precision), others.images, others.labels),
    )
    keeps = checkpoints.is_dir()
    if keeps and (state := checkpoint.load(folder, owner, log)):
        trainer.load_state_dict(state)
    log(f"pretraining on {len(others)} images of {classes} other classes, from epoch {trainer.epoch + 1}")
    while not trainer.finished:
        if interrupted():
            if keeps:
                checkpoint.save(folder, owner, trainer.state_dict())
            return None
        trainer.advance()
        if trainer.step == 0:
            loss, accuracy = trainer.totals()
            # Not in the form of the job's metrics, which are the training's own.
            log(f"pretraining, epoch {trainer.epoch}: loss {loss:.4f}, accuracy {accuracy:.4f}")
            if keeps:
                checkpoint.save(folder, owner, trainer.state_dict())
    return trunk_of(trainer.result)
