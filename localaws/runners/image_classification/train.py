"""`docker run IMAGE train` of the built-in image classification, as far as its contract goes.

It reads the algorithm's hyperparameters and channels, refuses what the algorithm refuses, writes its log
lines and leaves a model. What it trains is a small network on the CPU: its accuracy says nothing about the
algorithm's.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from localaws.runners.image_classification.channels import read_channel
from localaws.runners.image_classification.network import make_network, normalized, save
from localaws.runners.image_classification.parameters import WITHOUT_EFFECT, ClientError, parse

ML = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
log = logging.getLogger("image-classification")


@dataclass(frozen=True)
class Images:
    """`pixels` uint8 [n, channels, height, width], `labels` int64 [n]."""

    pixels: torch.Tensor
    labels: torch.Tensor


def main() -> int:
    pattern = "[%(asctime)s %(levelname)s %(thread)d] %(message)s"
    logging.basicConfig(format=pattern, datefmt="%m/%d/%Y %H:%M:%S", level=logging.INFO, stream=sys.stdout)
    try:
        config = ML / "input" / "config"
        given = json.loads((config / "hyperparameters.json").read_text(encoding="utf-8"))
        values = parse(given)
        channels = json.loads((config / "inputdataconfig.json").read_text(encoding="utf-8"))
        train, validation = (_read(name, channels, values) for name in ("train", "validation"))
        _announce(given, values, train)
        fit(train, validation, values)
    except ClientError as error:
        log.error("Customer Error: %s", error)
        (ML / "output").mkdir(parents=True, exist_ok=True)
        (ML / "output" / "failure").write_text(str(error), encoding="utf-8")
        return 1
    return 0


def _read(name: str, config: dict[str, Any], values: dict[str, Any]) -> Images:
    pixels, labels = read_channel(ML / "input" / "data", name, config, values["image_shape"])
    if labels.max() >= values["num_classes"]:
        raise ClientError(
            f"ClientError: the channel {name!r} has the label {labels.max()}, num_classes is "
            f"{values['num_classes']}"
        )
    return Images(torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(labels))


def _announce(given: dict[str, str], values: dict[str, Any], train: Images) -> None:
    log.warning("a local stand-in: a small network on the CPU, not the algorithm's ResNet")
    for name in (name for name in WITHOUT_EFFECT if name in given):
        log.warning("%s has no effect in the stand-in", name)
    if len(train.labels) < values["mini_batch_size"]:
        raise ClientError(
            "ClientError: The number of input images must be bigger or equal to the mini_batch_size."
        )
    if len(train.labels) != values["num_training_samples"]:
        log.warning(
            "num_training_samples is %d, the channel has %d",
            values["num_training_samples"],
            len(train.labels),
        )


def fit(train: Images, validation: Images, values: dict[str, Any]) -> None:
    """Trains; keeps the best epoch's model, or the last at which `checkpoint_frequency` says to store one."""
    torch.manual_seed(0)
    network = make_network(values["image_shape"][0], values["num_classes"])
    optimizer = _optimizer(network, values)
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimizer, list(values["lr_scheduler_step"]), values["lr_scheduler_factor"]
    )
    best, frequency = -1.0, values["checkpoint_frequency"]
    for epoch in range(values["epochs"]):
        started = time.monotonic()
        log.info("Epoch[%d] Train-accuracy=%f", epoch, _train(network, optimizer, train, values))
        schedule.step()
        log.info("Epoch[%d] Time cost=%.3f", epoch, time.monotonic() - started)
        accuracy = _accuracy(network, validation, 1)
        log.info("Epoch[%d] Validation-accuracy=%f", epoch, accuracy)
        if values["top_k"]:
            share = _accuracy(network, validation, min(values["top_k"], values["num_classes"]))
            log.info("Epoch[%d] Validation-top_k_accuracy_%d=%f", epoch, values["top_k"], share)
        wanted = accuracy > best if frequency is None else (epoch + 1) % frequency == 0
        best = max(best, accuracy)
        if wanted:
            (ML / "model").mkdir(parents=True, exist_ok=True)
            save(network, ML / "model", values["image_shape"], values["num_classes"])
            log.info("Saved checkpoint of epoch %d with validation accuracy: %f", epoch, accuracy)


def _optimizer(network: nn.Module, values: dict[str, Any]) -> torch.optim.Optimizer:
    parameters, rate = network.parameters(), values["learning_rate"]
    if values["optimizer"] == "adam":
        return torch.optim.Adam(parameters, rate, (values["beta_1"], values["beta_2"]), values["eps"])
    if values["optimizer"] == "rmsprop":
        return torch.optim.RMSprop(parameters, rate, values["gamma"], values["eps"])
    momentum = values["momentum"]
    nesterov = values["optimizer"] == "nag" and momentum > 0
    return torch.optim.SGD(parameters, rate, momentum, weight_decay=values["weight_decay"], nesterov=nesterov)


def _train(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: Images, values: dict[str, Any]
) -> float:
    """One epoch; answers the accuracy on what it trained with."""
    network.train()
    order, size, right, seen = torch.randperm(len(images.labels)), values["mini_batch_size"], 0, 0
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        pixels, labels = normalized(images.pixels[chosen]), images.labels[chosen]
        if values["augmentation_type"]:
            pixels = _augmented(pixels)
        answers = network(pixels)
        optimizer.zero_grad()
        functional.cross_entropy(answers, labels).backward()
        optimizer.step()
        right, seen = right + int((answers.argmax(1) == labels).sum()), seen + size
    return right / seen


def _augmented(pixels: torch.Tensor) -> torch.Tensor:
    """A random crop and flip, whatever the type: its colours and rotations are left out."""
    _, _, height, width = pixels.shape
    padded = functional.pad(pixels, (2, 2, 2, 2), mode="reflect")
    top, left = torch.randint(0, 5, (2,)).tolist()
    cropped = padded[:, :, top : top + height, left : left + width]
    flip = torch.rand(len(pixels), 1, 1, 1) < 0.5
    return torch.where(flip, cropped.flip(3), cropped)


@torch.inference_mode()
def _accuracy(network: nn.Module, images: Images, among: int) -> float:
    """The share of images whose label is among the first answers."""
    network.eval()
    right = 0
    for pixels, labels in zip(images.pixels.split(256), images.labels.split(256), strict=True):
        answers = network(normalized(pixels)).topk(among, dim=1).indices
        right += int((answers == labels[:, None]).any(dim=1).sum())
    return right / len(images.labels)


if __name__ == "__main__":
    sys.exit(main())
