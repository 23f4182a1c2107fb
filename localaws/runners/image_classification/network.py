"""The stand-in's network. The real algorithm trains a ResNet with MXNet; this one is only small."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

WEIGHTS, DESCRIPTION = "image-classification-stand-in.pt", "image-classification-stand-in.json"
_WIDTH = 24  # channels of the first convolution


def make_network(channels: int, classes: int) -> nn.Module:
    """Three convolutions and a linear layer, for images of any size; answers logits."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
        ]

    return nn.Sequential(
        *block(channels, _WIDTH),
        *block(_WIDTH, 2 * _WIDTH),
        *block(2 * _WIDTH, 4 * _WIDTH),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * _WIDTH, classes),
    )


def normalized(images: torch.Tensor) -> torch.Tensor:
    """uint8 [n, channels, height, width] to floats in -1..1."""
    return images.float() / 127.5 - 1


def save(network: nn.Module, folder: Path, image_shape: tuple[int, int, int], classes: int) -> None:
    torch.save(network.state_dict(), folder / WEIGHTS)
    description = {"image_shape": image_shape, "num_classes": classes}
    (folder / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")


def load(folder: Path) -> tuple[nn.Module, tuple[int, int, int]]:
    """The network, ready to answer, and the shape of its images."""
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    channels, height, width = description["image_shape"]
    network = make_network(channels, description["num_classes"])
    network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True, map_location="cpu"))
    return network.eval(), (channels, height, width)
