"""What each ingredient of the training recipe is worth: the recipe without it, cross-validated.

    python -m tests.bench.ablation --source ARCHIVE [--preset fast]

Every variant answers for each training image by a network that did not see it, so the test images choose
nothing; the recipe as it is is then trained on all training images and asked about the test images, which are
the validation channel. Each result is appended to a JSON-lines file as soon as it is there, and what is there
already is not computed again. Hours, not minutes, for the default preset.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from training import crossvalidate
from training.calibrate import temperature
from training.checkpoint import fingerprint
from training.data import Channel, read_channel
from training.fit import Trainer, predict
from training.recipe import PRESETS, Recipe, check, make

CPU = torch.device("cpu")
THE_RECIPE = "the recipe"
VARIANTS: dict[str, dict[str, Any]] = {
    THE_RECIPE: {},
    "AdamW instead of Muon": {"optimiser": "adamw", "learning_rate": 0.004},
    "first layer trained instead of whitening": {"whitening": False},
    "no flips in training": {"flip": False},
    "no shift": {"shift": 0.0},
    "affine changes as well": {"affine": 0.2},
    "no mixed images": {"cutmix": 0.0},
    "no colour changes": {"colour": 0.0},
    "no greyscale": {"greyscale": 0.0},
    "no cutout": {"cutout": 0.0},
    "small images for the first half": {"small_share": 0.5},
    "no label smoothing": {"label_smoothing": 0.0},
    "no moving average of the weights": {"ema": 0.0},
    "no flip averaging in prediction": {"flip_average": False},
    "float32 where the processor has bfloat16": {"precision": "float32"},
}


@dataclasses.dataclass(frozen=True)
class Result:
    """Of one variant and seed. `loss` is cross-entropy in nats at the best temperature."""

    key: str
    variant: str
    measure: str
    seed: int
    accuracy: float
    loss: float
    cpu_seconds: float


def key_of(recipe: Recipe, measure: str, folds: int, data: str) -> str:
    """A result is taken again only for the very same recipe and images."""
    return hashlib.sha256(f"{recipe!r} {measure} {folds} {data}".encode()).hexdigest()[:16]


def score(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    accuracy = float((logits.argmax(1) == labels).double().mean())
    return accuracy, functional.cross_entropy(logits / temperature(logits, labels), labels).item()


def cross_validated(recipe: Recipe, train: Channel, classes: int, folds: int) -> tuple[float, float]:
    parts = crossvalidate.split(train.labels, folds, recipe.seed)
    found = []
    for part in parts:
        logits = crossvalidate.answers(recipe, train, part, classes, CPU)
        assert logits is not None, "nothing interrupts it here"
        found.append(logits)
    return score(torch.cat(found), train.labels[torch.cat(parts)])


def on_test_images(recipe: Recipe, train: Channel, test: Channel, classes: int) -> tuple[float, float]:
    trainer = Trainer(recipe, train, classes, CPU)
    while trainer.epoch < recipe.epochs:
        trainer.advance()
    return score(predict(trainer.result, test.images, flip_average=recipe.flip_average), test.labels)


def measure(
    base: Recipe, names: list[str], train: Channel, test: Channel, folds: int, seeds: int, path: Path
) -> Iterator[Result]:
    """Every result, from the file or computed; seeds outermost, so that a table stands early."""
    known = {}
    if path.is_file():
        known = {row["key"]: Result(**row) for row in map(json.loads, path.read_text().splitlines())}
    classes = len(base.classes.split(","))
    data = fingerprint(train.images, train.labels, test.images, test.labels)
    for seed in range(seeds):
        for name in names:
            recipe = check(dataclasses.replace(base, **VARIANTS[name], seed=seed, calibration_folds=0))
            for what in ("cross-validation", *(("test images",) if name == THE_RECIPE else ())):
                key = key_of(recipe, what, folds, data)
                if key not in known:
                    start = time.process_time()
                    accuracy, loss = (
                        cross_validated(recipe, train, classes, folds)
                        if what == "cross-validation"
                        else on_test_images(recipe, train, test, classes)
                    )
                    known[key] = Result(key, name, what, seed, accuracy, loss, time.process_time() - start)
                    with path.open("a") as file:
                        file.write(json.dumps(dataclasses.asdict(known[key])) + "\n")
                yield known[key]


def spread(values: list[float], form: str) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{form}} ± {deviation:{form}}"


def table(results: list[Result]) -> str:
    """Markdown; means and standard deviations over the seeds."""
    lines = [
        "| variant | measured by | accuracy | loss | processor seconds | seeds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.variant, result.measure), []).append(result)
    for (variant, what), group in groups.items():
        accuracy = spread([result.accuracy for result in group], ".3f")
        loss = spread([result.loss for result in group], ".3f")
        seconds = statistics.mean(result.cpu_seconds for result in group)
        lines.append(f"| {variant} | {what} | {accuracy} | {loss} | {seconds:.0f} | {len(group)} |")
    return "\n".join(lines)


def prepare(source: str, classes: str, folder: Path) -> None:
    command = [sys.executable, "-m", "processing.prepare", "--source", source]
    subprocess.run([*command, "--classes", classes, "--output-dir", str(folder)], check=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", required=True, help="a CIFAR-100 archive, as processing.prepare takes it")
    parser.add_argument("--classes", default=Recipe().classes)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="default")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", default=",".join(VARIANTS), help="some of them, separated by commas")
    parser.add_argument("--results", type=Path, default=Path("out/ablation.jsonl"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    base = make(options.preset, {"classes": options.classes})
    with tempfile.TemporaryDirectory() as folder:
        prepare(options.source, options.classes, Path(folder))
        classes = len(options.classes.split(","))
        train, test = (read_channel(Path(folder) / name, classes) for name in ("train", "validation"))
    results = []
    for result in measure(
        base, options.variants.split(","), train, test, options.folds, options.seeds, options.results
    ):
        results.append(result)
        print(f"{result.variant}, {result.measure}, seed {result.seed}: {result.accuracy:.4f}", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
