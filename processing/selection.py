"""The images of the chosen classes, out of an archive's stream and into the folders that `layout` names.

Numpy and Pillow are first imported here and below: that takes as long as to unpack a good part of the
archive, so `prepare` has that begun before it imports this.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from processing import images
from processing.archive import OtherArchiveError, Records, read_records
from processing.channels import ChannelWriter
from processing.cifar100 import CHANNEL_OF_SPLIT, FINE_LABEL_NAMES, fine_label
from processing.contact_sheet import sheet_png
from processing.fetch import Fetch
from processing.image_folders import ImageFolders
from processing.job import JobError
from processing.layout import FIGURES, IMAGES, PRETRAIN, RECORDIO, SAMPLES, STATISTICS
from processing.others import OtherClasses
from processing.stream import ForwardFile

if TYPE_CHECKING:
    from processing.prepare import Options


PIXELS_AT_ONCE = 1 << 20  # of resized images


class MissingClassError(JobError):
    """A readable archive that lacks what was asked for."""


def write_selection(file: ForwardFile, fetch: Fetch, options: Options, folder: Path) -> dict[str, Any]:
    """Write the folders of `options` into `folder`, where they are and are empty.

    `file` is the unpacked content of what `fetch` reads. Returns the content of statistics.json.
    Raises `UnreadableError` and other `JobError`s.
    """
    Image.preinit()  # Pillow's file formats, which the sheet's `save` would import when all else is done
    writers = _writers(options, folder)
    others = OtherClasses()
    _read(file, fetch.name, options, writers, others)
    for split, writer in writers.items():
        _check_every_class(fetch.name, split, writer)
        writer.finish()
    if options.pretrain:
        _check_others(fetch.name, others)
        if options.share.leads:
            others.write(folder / PRETRAIN)
    if options.validation_images:
        for path in (folder / IMAGES.partition("_")[0]).glob("*.png"):
            shutil.copyfile(path, folder / IMAGES / path.name)
    statistics = _statistics(fetch, options, writers)
    text = json.dumps(statistics, indent=2) + "\n"
    (folder / STATISTICS / FIGURES).write_text(text, encoding="utf-8")
    samples = sheet_png([row for writer in writers.values() for row in writer.samples()])
    (folder / STATISTICS / SAMPLES).write_bytes(samples)
    return statistics


def _read(
    file: ForwardFile, archive: str, options: Options, writers: dict[str, ChannelWriter], others: OtherClasses
) -> None:
    """All of the archive, into the writers and others."""
    labels = np.full(len(FINE_LABEL_NAMES), -1, np.int64)  # of each fine label, -1 where it was not chosen
    width, height = options.image_size
    at_once = max(1, PIXELS_AT_ONCE // (width * height))

    def wanted() -> Iterator[int]:
        for label, name in enumerate(options.classes):
            labels[fine_label(name)] = label
        yield from range(len(labels)) if options.pretrain else np.flatnonzero(labels >= 0).tolist()

    def take(read: Records) -> None:
        chosen = labels[read.labels] >= 0
        for records in read.where(chosen).parts(at_once):
            writers[records.split].add(
                records.numbers, labels[records.labels], _resized(records, options), records.names
            )
        if options.pretrain and read.split == "train":
            rest = read.where(~chosen)
            others.add(rest.labels, _resized(rest, options))

    own = ImageFolders(archive, options.classes, options.image_size, writers)
    try:
        read_records(file, archive, wanted(), take, own.offer)
    except OtherArchiveError as error:
        wanted_folders = f"{error}, nor images in folders {' or '.join(options.classes)}"
        raise OtherArchiveError("; ".join([wanted_folders, *own.left_out])) from None
    if own.any:
        own.finish()
        for sentence in own.left_out:
            print(sentence, file=sys.stderr)


def _writers(options: Options, folder: Path) -> dict[str, ChannelWriter]:
    """By split."""
    writers = {}
    for split, channel in CHANNEL_OF_SPLIT.items():
        # A channel is one RecordIO file, whatever the number of instances: the first one writes it.
        whole = options.recordio and options.share.leads
        records = folder / f"{channel}{RECORDIO}" / f"{channel}.rec" if whole else None
        writers[split] = ChannelWriter(folder / channel, channel, options.classes, options.share, records)
    return writers


def _check_every_class(archive: str, split: str, writer: ChannelWriter) -> None:
    empty = [name for name, count in writer.statistics.per_class.items() if not count]
    if empty:
        raise MissingClassError(f"{archive} has no image of {' or '.join(empty)} in its {split} split")


def _check_others(archive: str, others: OtherClasses) -> None:
    if not len(others):
        raise MissingClassError(
            f"{archive} has no training image of another class of CIFAR-100's, which pretrain takes"
        )


def _resized(records: Records, options: Options) -> np.ndarray:
    return images.resize(images.from_planes(records.pixels), *options.image_size)


def _statistics(fetch: Fetch, options: Options, writers: dict[str, ChannelWriter]) -> dict[str, Any]:
    return {
        "source": {"uri": fetch.uri, "sha256": fetch.sha256, "md5": fetch.md5, "bytes": fetch.bytes},
        "classes": list(options.classes),
        "image_size": list(options.image_size),
        "splits": {writer.channel: writer.statistics.summary() for writer in writers.values()},
    }
