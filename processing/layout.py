"""The folders that PrepareData writes: their names, and how an earlier run's are told from a person's."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from processing.cifar100 import CHANNEL_OF_SPLIT
from processing.outputs import STAGING

CLASS_NAME = "[a-z0-9_]{1,64}"  # it becomes a file's name
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


def is_ours(folder: Path) -> bool:
    """Whether an earlier run left all that is in the folder: its lists name each image."""
    names = _files(folder)
    if names is None or folder.name not in PARTS:
        return False
    fixed, root = _fixed_names(folder.name), folder.parent
    if folder.name in _CHANNELS:
        return fixed <= names <= fixed | _listed(folder)
    if folder.name == IMAGES:
        return names <= _listed(root / IMAGES.partition("_")[0])
    return names == fixed and (root / STATISTICS / FIGURES).is_file()


def may_be_ours(folder: Path) -> bool:
    """Whether a run may have come so far with the folder: of what lies in a place that is ours alone."""
    names, fixed = _files(folder), _fixed_names(folder.name)
    if names is None or folder.name not in PARTS:
        return False
    has_images = folder.name in (*_CHANNELS, IMAGES)
    plain = (name.removeprefix(STAGING) for name in names)  # so it is called while it is being published
    return all(name in fixed or (has_images and is_image(name)) for name in plain)


def _files(folder: Path) -> set[str] | None:
    """The names in a folder; None if something else than files is among them."""
    with os.scandir(folder) as entries:
        found = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    return set(found) if all(found.values()) else None


def _listed(channel: Path) -> set[str]:
    """The images that a channel's manifest names; none where there is none that can be read."""
    try:
        lines = (channel / MANIFEST).read_text(encoding="utf-8").splitlines()
        return {json.loads(line)["file"] for line in lines}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _fixed_names(part: str) -> set[str]:
    """The files of a part that are always there."""
    if part == STATISTICS:
        return {FIGURES, SAMPLES}
    if part == PRETRAIN:
        return {OTHER_IMAGES, OTHER_LABELS, OTHER_CLASSES}
    if part.endswith(RECORDIO):
        return {f"{part.removesuffix(RECORDIO)}.rec"}
    return {f"{part}.lst", MANIFEST} if part in _CHANNELS else set()


def is_image(name: str) -> bool:
    """Whether a channel names its images so: `bicycle_00002.png`."""
    return re.fullmatch(rf"{CLASS_NAME}_[0-9]{{5,}}\.png", name) is not None
