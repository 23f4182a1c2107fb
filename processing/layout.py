"""The folders that PrepareData writes: their names, and how an earlier run's are told from a person's."""

from __future__ import annotations

from pathlib import Path

from processing.cifar100 import FINE_LABEL_NAMES
from processing.outputs import STAGING

STATISTICS = "statistics"
RECORDIO = "_recordio"  # train_recordio beside train
PRETRAIN = "pretrain"
# What a batch transform takes: it sends all that lies in its folder to the model.
IMAGES = "validation_images"
# A channel's, beside its images and `train.lst`.
MANIFEST = "manifest.jsonl"
# What `PRETRAIN` holds.
OTHER_IMAGES, OTHER_LABELS, OTHER_CLASSES = "images.npy", "labels.npy", "classes.txt"


def is_ours(folder: Path) -> bool:
    """Whether the folder holds what an earlier run wrote there, and nothing else."""
    if folder.name == STATISTICS:
        return (folder / "statistics.json").is_file()
    names = {path.name for path in folder.iterdir()}
    if folder.name == IMAGES:
        return all(map(is_image, names))
    if folder.name.endswith(RECORDIO):
        return names == {f"{folder.name.removesuffix(RECORDIO)}.rec"}
    if folder.name == PRETRAIN:
        return names == {OTHER_IMAGES, OTHER_LABELS, OTHER_CLASSES}
    lists = {f"{folder.name}.lst", MANIFEST}
    return lists <= names and all(map(is_image, names - lists))


def is_image(name: str) -> bool:
    """Whether a channel names its images so: `bicycle_00002.png`, also while they are being published."""
    class_name, _, number = name.removeprefix(STAGING).removesuffix(".png").rpartition("_")
    return name.endswith(".png") and class_name in FINE_LABEL_NAMES and number.isdecimal()
