"""The training loop: one-cycle AdamW with a moving average of the weights."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training.augment import augment, mixup
    from training.data import Channel
    from training.model import Network, logits
    from training.recipe import Recipe
else:
    from augment import augment, mixup
    from data import Channel
    from model import Network, logits
    from recipe import Recipe


class DivergedError(Exception):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images came to. Losses are cross-entropy in nats."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float

    def line(self) -> str:
        """The log line that the training job's metric definitions read."""
        return (
            f"epoch={self.epoch} train:loss={self.train_loss:.4f}; train:accuracy={self.train_accuracy:.4f}; "
            f"validation:loss={self.validation_loss:.4f}; "
            f"validation:accuracy={self.validation_accuracy:.4f}; seconds={self.seconds:.2f}"
        )


def learning_rate(progress: float, peak: float, warm_up: float = 0.2) -> float:
    """One cycle: up along a cosine in the first fifth of the run, then down along one to nothing.

    `progress` is the share of all steps done, 0..1. (Smith and Topin, 2017, arXiv:1708.07120.)
    """
    if progress < warm_up:
        share = progress / warm_up
        return peak * (0.04 + 0.96 * (1 - math.cos(math.pi * share)) / 2)
    share = (progress - warm_up) / (1 - warm_up)
    return peak * (1 + math.cos(math.pi * share)) / 2


@torch.no_grad()
def predict(network: nn.Module, images: Tensor, *, flip_average: bool, batch_size: int = 256) -> Tensor:
    """Logits [N, classes] on the CPU, from uint8 images [N, 3, H, W], in evaluation mode."""
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    batches = [
        logits(network, batch.to(device), flip_average=flip_average).float().cpu()
        for batch in images.split(batch_size)
    ]
    network.train(was_training)
    return torch.cat(batches)


def normalise_by(network: Network, images: Tensor) -> None:
    """Sets the network's channel means and deviations to those of the training images."""
    pixels = images.float() / 255
    network.mean.copy_(pixels.mean(dim=(0, 2, 3)).view(1, 3, 1, 1))
    network.std.copy_(pixels.std(dim=(0, 2, 3)).clamp_min(1e-3).view(1, 3, 1, 1))


class Trainer:
    """The state of a run between epochs."""

    def __init__(self, recipe: Recipe, train: Channel, classes: int, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.train, self.classes, self.device = recipe, train, classes, device
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.batch_size = min(recipe.batch_size, len(train))
        self.steps = max(len(train) // self.batch_size, 1)
        self.epoch = 0
        self.network = Network(classes, recipe.width)
        normalise_by(self.network, train.images)
        self.network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True
        )
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )

    def _batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        pixels = self.train.images[indices].float() / 255
        targets = functional.one_hot(self.train.labels[indices], self.classes).float()
        pixels = augment(pixels, self.recipe.augmentation, self.generator)
        pixels, targets = mixup(pixels, targets, self.recipe.mixup, self.generator)
        return pixels.to(self.device, memory_format=torch.channels_last), targets.to(self.device)

    def _step(self, indices: Tensor, progress: float) -> tuple[float, int]:
        """One step of the optimiser; the loss and how many of the batch were right."""
        pixels, targets = self._batch(indices)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(progress, self.recipe.learning_rate)
        with torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            answer = self.network(pixels)
        loss = functional.cross_entropy(answer.float(), targets, label_smoothing=self.recipe.label_smoothing)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if self.recipe.ema:
            self.average.update_parameters(self.network)
        return loss.item(), int((answer.argmax(1) == targets.argmax(1)).sum())

    def run_epoch(self) -> tuple[float, float]:
        """Mean loss and accuracy over the augmented training images."""
        self.network.train()
        order = torch.randperm(len(self.train), generator=self.generator)
        total, right = 0.0, 0
        for step in range(self.steps):
            indices = order[step * self.batch_size : (step + 1) * self.batch_size]
            progress = (self.epoch * self.steps + step) / (self.recipe.epochs * self.steps)
            loss, correct = self._step(indices, progress)
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss became {loss} in epoch {self.epoch + 1}: lower the hyperparameter "
                    f"learning-rate (now {self.recipe.learning_rate})"
                )
            total, right = total + loss, right + correct
        self.epoch += 1
        return total / self.steps, right / (self.steps * self.batch_size)

    @property
    def result(self) -> Network:
        """The network to keep: the average of the weights where one is kept."""
        return cast(Network, self.average.module) if self.recipe.ema else self.network


def evaluate(network: nn.Module, channel: Channel, *, flip_average: bool) -> tuple[float, float]:
    """Cross-entropy in nats and accuracy."""
    answers = predict(network, channel.images, flip_average=flip_average)
    loss = functional.cross_entropy(answers, channel.labels).item()
    return loss, float((answers.argmax(1) == channel.labels).float().mean())


def fit(trainer: Trainer, validation: Channel, report: Callable[[Epoch], None]) -> Network:
    """Trains to the end, calling `report` after each epoch; the validation images choose nothing."""
    while trainer.epoch < trainer.recipe.epochs:
        start = time.monotonic()
        train_loss, train_accuracy = trainer.run_epoch()
        loss, accuracy = evaluate(trainer.result, validation, flip_average=trainer.recipe.flip_average)
        report(Epoch(trainer.epoch, train_loss, train_accuracy, loss, accuracy, time.monotonic() - start))
    return trainer.result
