"""The folders that PrepareData writes: their names, and how an earlier run's are told from a person's."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from processing.cifar100 import CHANNEL_OF_SPLIT, FINE_LABEL_NAMES
from processing.outputs import STAGING

STATISTICS = "statistics"
# What `STATISTICS` holds.
FIGURES, SAMPLES = "statistics.json", "samples.png"
RECORDIO = "_recordio"  # train_recordio beside train
PRETRAIN = "pretrain"
# Of the images in it, in pixels: all are held in memory, 2.5 GB of them at this size.
LARGEST_PRETRAIN_SIDE = 128
# What a batch transform takes: it sends all that lies in its folder to the model.
IMAGES = "validation_images"
# A channel's, beside its images and `train.lst`.
MANIFEST = "manifest.jsonl"
# What `PRETRAIN` holds.
OTHER_IMAGES, OTHER_LABELS, OTHER_CLASSES = "images.npy", "labels.npy", "classes.txt"

_CHANNELS = tuple(CHANNEL_OF_SPLIT.values())
# The folders of a run with all options.
PARTS = (*_CHANNELS, *(f"{channel}{RECORDIO}" for channel in _CHANNELS), PRETRAIN, IMAGES, STATISTICS)


def is_ours(folder: Path, classes: Collection[str] = ()) -> bool:
    """Whether the folder holds what an earlier run wrote there, and nothing else.

    `classes` are those of this run, where they are none of CIFAR-100's: no other folder's are known.
    """
    return may_be_ours(folder, classes) and _fixed_names(folder.name) <= {
        path.name for path in folder.iterdir()
    }


def may_be_ours(folder: Path, classes: Collection[str] = ()) -> bool:
    """Whether nothing is in the folder but what a run writes there, as far as it may have come."""
    fixed = _fixed_names(folder.name)
    has_images = folder.name in (*_CHANNELS, IMAGES)
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name.removeprefix(STAGING)  # so it is called while it is being published
            if not entry.is_file(follow_symlinks=False):
                return False
            if name not in fixed and not (has_images and is_image(name, classes)):
                return False
    return folder.name in PARTS


def _fixed_names(part: str) -> set[str]:
    """The files of a part that are always there."""
    if part == STATISTICS:
        return {FIGURES, SAMPLES}
    if part == PRETRAIN:
        return {OTHER_IMAGES, OTHER_LABELS, OTHER_CLASSES}
    if part.endswith(RECORDIO):
        return {f"{part.removesuffix(RECORDIO)}.rec"}
    return {f"{part}.lst", MANIFEST} if part in _CHANNELS else set()


def is_image(name: str, classes: Collection[str] = ()) -> bool:
    """Whether a channel names its images so: `bicycle_00002.png`."""
    class_name, _, number = name.removesuffix(".png").rpartition("_")
    plain = number.isascii() and number.isdigit() and len(number) >= 5
    return name.endswith(".png") and plain and (class_name in FINE_LABEL_NAMES or class_name in classes)
