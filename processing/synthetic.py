"""Drawn images in CIFAR-100's own layout, so that the whole workflow runs without the real data.

    python -m processing.synthetic --output archive.tar.gz --seed 0

Bicycles and motorcycles are drawn with care; every other class gets a few simple drawings, for a filter
to drop. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from processing import pack
from processing.cifar100 import FINE_LABEL_NAMES, IMAGE_SIDE, parse_classes
from processing.job import JobError, run
from processing.vehicles import draw

CLASSES = ("bicycle", "motorcycle")
TRAIN_PER_CLASS = 500
TEST_PER_CLASS = 100
DECOYS = {"train": 5, "test": 1}  # of each class that was not asked for


class CountError(JobError):
    """A number of images that makes no data set."""


def write_archive(
    path: Path,
    *,
    seed: int,
    train_per_class: int = TRAIN_PER_CLASS,
    test_per_class: int = TEST_PER_CLASS,
    classes: Sequence[str] = CLASSES,
    version: pack.Version = "python",
) -> None:
    """Draw an archive and write it to `path`, whole or not at all. The same arguments give the same bytes."""
    counts = {"train": train_per_class, "test": test_per_class}
    for split, count in counts.items():
        if not 1 <= count <= 10_000:
            raise CountError(f"{count} {split} images a class: from 1 to 10,000 can be drawn")
    train, test = (_split(name, count, seed, classes) for name, count in counts.items())
    pack.write(path, train, test, version)


def _split(name: str, count: int, seed: int, classes: Sequence[str]) -> pack.Split:
    records = [
        (label, number)
        for label, fine_name in enumerate(FINE_LABEL_NAMES)
        for number in range(count if fine_name in classes else DECOYS[name])
    ]
    random.Random(f"{seed} {name} order").shuffle(records)  # noqa: S311 - drawings, not secrets
    pixels = np.empty((len(records), 3, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    for row, (label, number) in enumerate(records):
        # Each image has a source of its own: it stays the same when the number of images changes.
        rng = random.Random(f"{seed} {name} {label} {number}")  # noqa: S311
        pixels[row] = draw(FINE_LABEL_NAMES[label], rng)
    return pack.Split(
        labels=np.array([label for label, _ in records], np.int64),
        pixels=pixels,
        names=[f"drawn_{FINE_LABEL_NAMES[label]}_s_{number:06d}.png" for label, number in records],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m processing.synthetic", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--output", required=True, type=Path, help="the tar.gz to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-per-class", type=int, default=TRAIN_PER_CLASS)
    parser.add_argument("--test-per-class", type=int, default=TEST_PER_CLASS)
    parser.add_argument("--classes", default=",".join(CLASSES), help="comma-separated; drawn in full number")
    parser.add_argument("--version", choices=pack.VERSIONS, default="python", help="which layout")
    given = parser.parse_args(arguments)
    write_archive(
        given.output,
        seed=given.seed,
        train_per_class=given.train_per_class,
        test_per_class=given.test_per_class,
        classes=parse_classes(given.classes),
        version=given.version,
    )
    print(f"{given.output}: {given.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(run(main))
