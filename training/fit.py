"""The training loop: Muon over one cycle of the learning rate, with a moving average of the weights."""

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training.augment import Augmentation, cutmix
    from training.data import Channel
    from training.model import MINIMUM_SIDE, Network, channels_for, is_finite, logits
    from training.muon import Muon
    from training.recipe import Recipe
else:
    from augment import Augmentation, cutmix
    from data import Channel
    from model import MINIMUM_SIDE, Network, channels_for, is_finite, logits
    from muon import Muon
    from recipe import Recipe


# Of Muon's learning rate, for what AdamW trains beside it: biases, norms and the head.
ADAM_SHARE = 0.1


class DivergedError(Exception):
    """The loss or the weights are no longer numbers."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images came to. Losses are cross-entropy in nats."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float

    def line(self, epochs: int) -> str:
        """The log line that the training job's metric definitions read; of `epochs` in all."""
        return (
            f"epoch={self.epoch} of {epochs} train:loss={self.train_loss:.4f}; "
            f"train:accuracy={self.train_accuracy:.4f}; "
            f"validation:loss={self.validation_loss:.4f}; "
            f"validation:accuracy={self.validation_accuracy:.4f}; seconds={self.seconds:.2f}"
        )


def set_up(threads: int) -> None:
    """CPU threads of this process, and the same results for the same seed on the same machine."""
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # A guard against reading what was never written, at a twentieth of the training's time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def learning_rate(progress: float, peak: float, warm_up: float = 0.2) -> float:
    """One cycle: up along a cosine in the first fifth of the run, then down along one to nothing.

    `progress` is the share of all steps done, 0..1. (Smith and Topin, 2017, arXiv:1708.07120.)
    """
    if progress < warm_up:
        share = progress / warm_up
        return peak * (0.04 + 0.96 * (1 - math.cos(math.pi * share)) / 2)
    share = (progress - warm_up) / (1 - warm_up)
    return peak * (1 + math.cos(math.pi * share)) / 2


class MovingAverage:
    """An exponential moving average of a network's weights and statistics.

    It forgets the first, random weights sooner than `decay` a step would.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay, self.count = decay, 0
        self._mine, self._theirs = self._floats(self.network), self._floats(network)

    @staticmethod
    def _floats(network: Network) -> list[Tensor]:
        return [value for value in network.state_dict().values() if value.is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        self.count += 1
        share = min(self.decay, self.count / (self.count + 10))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - share)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.count = state["count"]


def precision_for(name: str, device: torch.device) -> torch.dtype:
    """The number format of the convolutions; `auto` takes bfloat16 where the hardware multiplies in it.

    A GPU without it takes float16, a CPU without it float32.
    """
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    if device.type == "cuda":
        bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if bfloat16 else torch.float16
    # Older releases of torch do not tell; they then compute in float32, which is right everywhere.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    hardware = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return torch.bfloat16 if hardware else torch.float32


def make_optimisers(
    network: Network, recipe: Recipe, rate: float, precision: torch.dtype
) -> list[torch.optim.Optimizer]:
    """Muon for the convolutions and AdamW for the rest, or AdamW for all; groups know their peak `rate`."""
    trained = [p for p in network.parameters() if p.requires_grad]
    if recipe.optimiser == "adamw":
        adam = torch.optim.AdamW(trained, lr=rate, weight_decay=recipe.weight_decay)
        adam.param_groups[0]["peak"] = rate
        return [adam]
    kernels = [p for p in trained if p.ndim == 4]
    others = [p for p in trained if p.ndim != 4]
    low = torch.bfloat16 if precision == torch.bfloat16 else torch.float32
    muon = Muon(kernels, lr=rate, weight_decay=recipe.weight_decay, precision=low)
    adam = torch.optim.AdamW(others, lr=ADAM_SHARE * rate, weight_decay=0.0)
    muon.param_groups[0]["peak"] = rate
    adam.param_groups[0]["peak"] = ADAM_SHARE * rate
    return [muon, adam]


@torch.no_grad()
def predict(network: nn.Module, images: Tensor, *, flip_average: bool, batch_size: int = 256) -> Tensor:
    """Logits [N, classes] on the CPU, float32, from uint8 images [N, 3, H, W], in evaluation mode."""
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    batches = [
        logits(network, batch.to(device), flip_average=flip_average).cpu()
        for batch in images.split(batch_size)
    ]
    network.train(was_training)
    return torch.cat(batches)


def evaluate(network: nn.Module, channel: Channel, *, flip_average: bool) -> tuple[float, float]:
    """Cross-entropy in nats and accuracy."""
    answers = predict(network, channel.images, flip_average=flip_average)
    loss = functional.cross_entropy(answers, channel.labels).item()
    return loss, float((answers.argmax(1) == channel.labels).float().mean())


class Trainer:
    """The state of a run. It can be saved and restored between any two steps."""

    def __init__(
        self,
        recipe: Recipe,
        train: Channel,
        classes: int,
        device: torch.device,
        trunk: dict[str, Tensor] | None = None,
    ) -> None:
        """`trunk` is what pretraining left: it takes the place of the first, random weights."""
        torch.manual_seed(recipe.seed)
        self.recipe, self.train, self.classes, self.device = recipe, train, classes, device
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.augment = Augmentation(
            flip=recipe.flip,
            shift=min(recipe.shift * recipe.augmentation, 0.5),
            affine=recipe.affine * recipe.augmentation,
            colour=recipe.colour * recipe.augmentation,
            greyscale=min(recipe.greyscale * recipe.augmentation, 1.0),
            cutout=min(recipe.cutout * recipe.augmentation, 1.0),
        )
        self.batch_size = min(recipe.batch_size, len(train))
        self.steps = max(len(train) // self.batch_size, 1)
        self.epoch, self.step, self.loss_sum, self.right = 0, 0, 0.0, 0
        self.losses: list[float] = []
        self.order = torch.empty(0, dtype=torch.int64)
        self.network = Network(classes, channels_for(recipe.width))
        self.network.fit_to(train.images, whitening=recipe.whitening)
        self.trunk = trunk
        if trunk:
            self.network.load_state_dict(trunk, strict=False)
        self.network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = MovingAverage(self.network, recipe.ema)
        self.precision = precision_for(recipe.precision, device)
        rate = recipe.learning_rate * (recipe.fine_tuning if trunk else 1)
        self.optimisers = make_optimisers(self.network, recipe, rate, self.precision)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == torch.float16)

    @property
    def result(self) -> Network:
        """The network to keep: the average of the weights where one is kept."""
        return self.average.network if self.recipe.ema else self.network

    @property
    def progress(self) -> float:
        """The share of the run's steps that is done, 0..1."""
        return (self.epoch * self.steps + self.step) / (self.recipe.epochs * self.steps)

    @property
    def plateau(self) -> bool:
        """Whether the training loss has not fallen for `patience` epochs."""
        patience = self.recipe.patience
        if not patience or len(self.losses) <= patience:
            return False
        return min(self.losses[-patience:]) >= min(self.losses[:-patience])

    @property
    def finished(self) -> bool:
        return self.epoch >= self.recipe.epochs or (self.step == 0 and self.plateau)

    def _size(self, *sides: int) -> list[int]:
        """Of the training images at this point of the run: height and width."""
        if self.progress >= self.recipe.small_share:
            return list(sides)
        return [max(MINIMUM_SIDE, round(side * self.recipe.small_side)) for side in sides]

    def _batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        pixels = self.train.images[indices].float() / 255
        targets = functional.one_hot(self.train.labels[indices], self.classes).float()
        pixels = self.augment(pixels, self.generator, self._size(*pixels.shape[2:]))
        if torch.rand(1, generator=self.generator).item() < self.recipe.cutmix * self.recipe.augmentation:
            pixels, targets = cutmix(pixels, targets, self.generator)
        return pixels.to(self.device, memory_format=torch.channels_last), targets.to(self.device)

    def _learn(self, pixels: Tensor, targets: Tensor) -> tuple[float, int]:
        """One step of the optimiser; the loss and how many of the batch were right."""
        for optimiser in self.optimisers:
            optimiser.zero_grad()
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(self.progress, group["peak"])
        low = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision if low else None, enabled=low):
            answer = self.network(pixels)
        loss = functional.cross_entropy(answer.float(), targets, label_smoothing=self.recipe.label_smoothing)
        self.scaler.scale(loss).backward()
        for optimiser in self.optimisers:
            self.scaler.step(optimiser)
        self.scaler.update()
        if self.recipe.ema:
            self.average.update()
        return loss.item(), int((answer.argmax(1) == targets.argmax(1)).sum())

    def advance(self) -> None:
        """One step. Raises DivergedError."""
        if self.step == 0:
            self.order = torch.randperm(len(self.train), generator=self.generator)
            self.loss_sum, self.right = 0.0, 0
        indices = self.order[self.step * self.batch_size : (self.step + 1) * self.batch_size]
        self.network.train()
        loss, right = self._learn(*self._batch(indices))
        if not math.isfinite(loss):
            raise self._diverged(f"loss became {loss}")
        self.step, self.loss_sum, self.right = self.step + 1, self.loss_sum + loss, self.right + right
        if self.step == self.steps:
            # The last step's loss is of the weights before it, and may still have been a number.
            if not is_finite(self.result):
                raise self._diverged("weights became nan")
            self.epoch, self.step = self.epoch + 1, 0
            self.losses.append(self.totals()[0])

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"the {what} in epoch {self.epoch + 1}: lower the hyperparameter learning-rate "
            f"(now {self.recipe.learning_rate})"
        )

    def totals(self) -> tuple[float, float]:
        """Mean loss and accuracy over the augmented training images of the epoch that was just finished."""
        return self.loss_sum / self.steps, self.right / (self.steps * self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(),
            "position": (self.epoch, self.step, self.loss_sum, self.right),
            "order": self.order,
            "losses": self.losses,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("network", "average", "scaler"):
            getattr(self, name).load_state_dict(state[name])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        self.epoch, self.step, self.loss_sum, self.right = state["position"]
        self.order, self.losses = state["order"], list(state["losses"])


class Run:
    """A trainer with its history, as far as it has come. The validation images choose nothing."""

    def __init__(self, trainer: Trainer, validation: Channel) -> None:
        self.trainer, self.validation = trainer, validation
        self.history: list[Epoch] = []
        self.seconds = 0.0

    def epoch(self, interrupted: Callable[[], bool]) -> Epoch | None:
        """Goes on to the end of an epoch and measures it; None if it was interrupted on the way."""
        start = time.monotonic()
        number = self.trainer.epoch
        while self.trainer.epoch == number:
            if interrupted():
                self.seconds += time.monotonic() - start
                return None
            self.trainer.advance()
        loss, accuracy = evaluate(
            self.trainer.result, self.validation, flip_average=self.trainer.recipe.flip_average
        )
        seconds = self.seconds + time.monotonic() - start
        self.history.append(Epoch(number + 1, *self.trainer.totals(), loss, accuracy, seconds))
        self.seconds = 0.0
        return self.history[-1]

    def state_dict(self) -> dict[str, Any]:
        history = [asdict(epoch) for epoch in self.history]
        return {"trainer": self.trainer.state_dict(), "history": history, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.trainer.load_state_dict(state["trainer"])
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.seconds = state["seconds"]
