"""Answers to every training image by a network that did not see it: what calibration needs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training.data import Channel
    from training.fit import Trainer, predict
    from training.recipe import Recipe
else:
    from data import Channel
    from fit import Trainer, predict
    from recipe import Recipe


def split(labels: Tensor, folds: int, seed: int) -> list[Tensor]:
    """Indices of `folds` parts in which each class has the same share, to one image."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    by_class = order[labels[order].argsort(stable=True)]
    return [by_class[fold::folds].sort().values for fold in range(folds)]


def others(held_out: Tensor, count: int) -> Tensor:
    chosen = torch.ones(count, dtype=torch.bool)
    chosen[held_out] = False
    return chosen.nonzero().squeeze(1)


def answers(
    recipe: Recipe,
    channel: Channel,
    held_out: Tensor,
    classes: int,
    device: torch.device,
    interrupted: Callable[[], bool] = lambda: False,
) -> Tensor | None:
    """Logits of the held-out images by a network trained on the others; None if interrupted."""
    trainer = Trainer(recipe, channel.subset(others(held_out, len(channel))), classes, device)
    while trainer.epoch < recipe.epochs:
        if interrupted():
            return None
        trainer.advance()
    return predict(trainer.result, channel.images[held_out], flip_average=recipe.flip_average)
