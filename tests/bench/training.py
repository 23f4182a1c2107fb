"""The training job beside the plain recipe of the course, in one run: time, and accuracy on the test images.

    python -m tests.bench.training [--source ARCHIVE] [--seed 0]

The course trains the built-in image-classification algorithm at its defaults: a residual network from
scratch, SGD, no augmentation. That is written afresh here, with 18 layers instead of 152. Each way is a
process of its own from start to exit; ours includes the calibration, which runs beside the training.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from training.data import read_channel

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "cifar-100-python.tar.gz"
CLASSES = "bicycle,motorcycle"
# The algorithm's defaults: https://docs.aws.amazon.com/sagemaker/latest/dg/IC-Hyperparameter.html
EPOCHS, BATCH, MOMENTUM, WEIGHT_DECAY = 30, 32, 0.9, 1e-4
RATES = (0.1, 0.01)  # the default, and what people try next


@dataclass(frozen=True)
class Figures:
    """Of one process: seconds from start to exit, processor seconds of it and its children."""

    seconds: float
    cpu_seconds: float
    accuracy: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", default=str(REAL) if REAL.is_file() else None, help="default: drawn images"
    )
    parser.add_argument("--seed", default="0")
    options = parser.parse_args(arguments)
    table = Table(title="Training, two channels of images in and a model out")
    for column in ("what", "seconds", "processor s", "accuracy"):
        table.add_column(column, justify="left" if column == "what" else "right")
    with tempfile.TemporaryDirectory(prefix="bench-training-") as folder:
        _prepare(options.source, Path(folder))
        for what, command in _ways(Path(folder), options.seed):
            found = _run(command)
            table.add_row(what, f"{found.seconds:.0f}", f"{found.cpu_seconds:.0f}", f"{found.accuracy:.3f}")
    Console().print(table)


def _prepare(source: str | None, folder: Path) -> None:
    if source is None:
        source = str(folder / "drawn.tar.gz")
        subprocess.run(
            [sys.executable, "-m", "processing.synthetic", "--output", source], cwd=ROOT, check=True
        )
    command = [sys.executable, "-m", "processing.prepare", "--source", source, "--classes", CLASSES]
    subprocess.run([*command, "--output-dir", str(folder)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _ways(folder: Path, seed: str) -> list[tuple[str, list[str]]]:
    channels = ["--train", str(folder / "train"), "--validation", str(folder / "validation"), "--seed", seed]
    outputs = ["--model-dir", str(folder / "model"), "--output-data-dir", str(folder / "data")]
    ours = ["-m", "training.train", "--classes", CLASSES, *channels, *outputs]
    plain = ["-m", "tests.bench.training", "plain", str(folder), seed]
    return [
        *((f"the {preset} preset", [*ours, "--preset", preset]) for preset in ("default", "fast")),
        *((f"plain, learning rate {rate}", [*plain, str(rate)]) for rate in RATES),
    ]


def _run(command: list[str]) -> Figures:
    before, started = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    seconds, after = time.perf_counter() - started, os.times()
    if done.returncode:
        raise RuntimeError(done.stderr)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Figures(seconds, cpu, float(re.findall("validation:accuracy=([0-9.]+)", done.stdout)[-1]))


class Unit(nn.Module):
    """A basic unit of two 3x3 convolutions (He et al., 2015, arXiv:1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.convs(x) + self.shortcut(x))


def resnet18(classes: int) -> nn.Module:
    """As it is for photographs: 32 pixels are 8 before the first unit."""
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    units, inputs = [], 64
    for outputs in (64, 128, 256, 512):
        units += [Unit(inputs, outputs, 1 if outputs == 64 else 2), Unit(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*stem, *units, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def plain(folder: Path, seed: int, rate: float) -> None:
    """Trains the plain way and prints the last epoch's accuracy as the training job does."""
    torch.manual_seed(seed)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    train, test = (read_channel(folder / name, 2) for name in ("train", "validation"))
    network = resnet18(2)
    optimiser = torch.optim.SGD(network.parameters(), rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    pixels, mean = train.images.float() / 255, 0.5
    for _ in range(EPOCHS):
        network.train()
        for chosen in torch.randperm(len(train)).split(BATCH):
            loss = functional.cross_entropy(network(pixels[chosen] - mean), train.labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval()
    with torch.inference_mode():
        right = network(test.images.float() / 255 - mean).argmax(1) == test.labels
    print(f"validation:accuracy={right.double().mean():.4f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["plain"]:
        plain(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        main()
