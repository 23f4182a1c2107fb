"""PrepareData: a CIFAR-100 archive becomes two folders of images with their labels, and statistics of both.

    python -m processing.prepare --source cifar100 --classes bicycle,motorcycle --output-dir out

The archive is read once, as a stream: download, checksums, gunzip and filter run side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from processing import images
from processing.archive import ArchiveContentError, Records, Take, read_records
from processing.cache import ArchiveCache
from processing.channels import ChannelWriter, is_channel, is_image
from processing.cifar100 import CHANNEL_OF_SPLIT, FINE_LABEL_NAMES, IMAGE_SIDE, parse_classes
from processing.contact_sheet import sheet_png
from processing.fetch import ChecksumError, Fetch
from processing.instances import WHOLE, Share, this_instance
from processing.job import JobError, run
from processing.others import OtherClasses, is_other_classes
from processing.outputs import staged
from processing.pickle_input import PickleContentError
from processing.sources import resolve
from processing.stream import CompressedDataError, ForwardFile, gunzip, in_background
from processing.tar_stream import TarError

STATISTICS = "statistics"
RECORDIO = "_recordio"  # train_recordio beside train
PRETRAIN = "pretrain"
# What a batch transform takes: it sends all that lies in its folder to the model.
IMAGES = "validation_images"


# What is wrong with the archive itself.
UNREADABLE = (ArchiveContentError, ChecksumError, CompressedDataError, PickleContentError, TarError)


class MissingClassError(JobError):
    """A readable archive that lacks what was asked for."""


class OptionError(JobError):
    """An option's value that does not do."""


@dataclass(frozen=True)
class Options:
    """What to prepare.

    Attributes:
        source: a path, `file://`, `http(s)://`, `s3://` or `cifar100`.
        classes: in the order of the labels to write.
        image_size: width and height in pixels.
        md5: that the archive must have; where None, the official one for `cifar100`.
        cache_dir: where downloads are kept; None keeps none.
        mirror: where `cifar100` is fetched from instead of its own page.
        recordio: write each channel as a RecordIO file as well, for the built-in algorithm's Pipe mode.
        pretrain: write the training images of all other classes as well, to pretrain on.
        validation_images: write the validation images once more, without lists beside them.
        share: what of the images this instance writes.
    """

    source: str
    classes: tuple[str, ...]
    output_dir: Path
    image_size: tuple[int, int] = (IMAGE_SIDE, IMAGE_SIDE)
    md5: str | None = None
    cache_dir: Path | None = None
    mirror: str | None = None
    recordio: bool = False
    pretrain: bool = False
    validation_images: bool = False
    share: Share = WHOLE


def prepare(options: Options) -> dict[str, Any]:
    """Write the channels and statistics; returns the content of statistics.json. Raises `JobError`."""
    source, known_md5 = resolve(options.source, options.mirror)
    md5 = options.md5 or known_md5
    cache = ArchiveCache(options.cache_dir) if options.cache_dir else None
    while True:
        fetch = Fetch(source, md5, cache)
        try:
            return _prepare(fetch, options)
        except UNREADABLE:
            if not fetch.discard():
                raise
        print(f"the kept copy of {fetch.name} cannot be read; fetching it again", file=sys.stderr)


def _prepare(fetch: Fetch, options: Options) -> dict[str, Any]:
    channels = CHANNEL_OF_SPLIT.values()
    record_parts = {channel: f"{channel}{RECORDIO}" for channel in channels} if options.recordio else {}
    pretrain = (PRETRAIN,) if options.pretrain else ()
    images = (IMAGES,) if options.validation_images else ()
    parts = (*channels, *record_parts.values(), *pretrain, *images, STATISTICS)
    with staged(options.output_dir, parts, _is_ours) as folder:
        # A channel is one RecordIO file, whatever the number of instances: the first one writes it.
        record_files = {
            channel: folder / part / f"{channel}.rec"
            for channel, part in record_parts.items()
            if options.share.leads
        }
        writers = {
            split: ChannelWriter(
                folder / channel, channel, options.classes, options.share, record_files.get(channel)
            )
            for split, channel in CHANNEL_OF_SPLIT.items()
        }
        labels = _label_of_fine(options.classes)
        others = OtherClasses()

        def take(read: Records) -> None:
            chosen = labels[read.labels] >= 0
            records = read.where(chosen)
            writers[records.split].add(
                records.numbers, labels[records.labels], _resized(records, options), records.names
            )
            if options.pretrain and read.split == "train":
                rest = read.where(~chosen)
                others.add(rest.labels, _resized(rest, options))

        _read(fetch, FINE_LABEL_NAMES if options.pretrain else options.classes, take)
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
        (folder / STATISTICS / "statistics.json").write_text(text, encoding="utf-8")
        samples = sheet_png([row for writer in writers.values() for row in writer.samples()])
        (folder / STATISTICS / "samples.png").write_bytes(samples)
    return statistics


def _read(fetch: Fetch, classes: Sequence[str], take: Take) -> None:
    wanted = [FINE_LABEL_NAMES.index(name) for name in classes]
    pieces = in_background(gunzip(in_background(fetch.chunks()), fetch.name))
    with ForwardFile(pieces) as file:
        read_records(file, fetch.name, wanted, take)


def _label_of_fine(classes: Sequence[str]) -> np.ndarray:
    """Fine label → position in `classes`; int64 [100], -1 where the class was not chosen."""
    labels = np.full(len(FINE_LABEL_NAMES), -1, np.int64)
    for label, name in enumerate(classes):
        labels[FINE_LABEL_NAMES.index(name)] = label
    return labels


def _check_every_class(archive: str, split: str, writer: ChannelWriter) -> None:
    empty = [name for name, count in writer.statistics.per_class.items() if not count]
    if empty:
        raise MissingClassError(f"{archive} has no image of {' or '.join(empty)} in its {split} split")


def _check_others(archive: str, others: OtherClasses) -> None:
    if not len(others):
        raise MissingClassError(f"{archive} has no training image of another class to pretrain on")


def _resized(records: Records, options: Options) -> np.ndarray:
    return images.resize(images.from_planes(records.pixels), *options.image_size)


def _statistics(fetch: Fetch, options: Options, writers: dict[str, ChannelWriter]) -> dict[str, Any]:
    return {
        "source": {"uri": fetch.uri, "sha256": fetch.sha256, "md5": fetch.md5, "bytes": fetch.bytes},
        "classes": list(options.classes),
        "image_size": list(options.image_size),
        "splits": {writer.channel: writer.statistics.summary() for writer in writers.values()},
    }


def _is_ours(folder: Path) -> bool:
    if folder.name == STATISTICS:
        return (folder / "statistics.json").is_file()
    if folder.name == IMAGES:
        return all(is_image(path.name) for path in folder.iterdir())
    if folder.name.endswith(RECORDIO):
        return [path.name for path in folder.iterdir()] == [f"{folder.name.removesuffix(RECORDIO)}.rec"]
    return is_other_classes(folder) if folder.name == PRETRAIN else is_channel(folder)


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m processing.prepare", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--source", required=True, help="a path, file://, http(s)://, s3://bucket/key, or cifar100"
    )
    parser.add_argument("--classes", required=True, help="comma-separated; their order is the labels' order")
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument("--image-size", default=str(IMAGE_SIDE), help="32, or 64x48 for width x height")
    parser.add_argument("--md5", help="refuse any other archive")
    parser.add_argument(
        "--cache-dir",
        default=os.environ.get("SCONES_CACHE_DIR"),
        help="keep what is downloaded here and use it again ($SCONES_CACHE_DIR; by default only what comes "
        "over HTTP is kept, in ~/.cache/scones; an empty text keeps nothing)",
    )
    parser.add_argument(
        "--mirror",
        default=os.environ.get("SCONES_MIRROR"),
        help="where cifar100 is fetched from ($SCONES_MIRROR)",
    )
    parser.add_argument(
        "--recordio", action="store_true", help="write train_recordio/train.rec and the like as well"
    )
    parser.add_argument(
        "--pretrain",
        action="store_true",
        help="write the training images of all other classes as well, to pretrain on",
    )
    parser.add_argument(
        "--validation-images",
        action="store_true",
        help=f"write {IMAGES} as well: the images alone, for a batch transform",
    )
    given = parser.parse_args(arguments)
    return Options(
        source=given.source,
        classes=parse_classes(given.classes),
        output_dir=given.output_dir,
        image_size=_image_size(given.image_size),
        md5=_md5(given.md5),
        cache_dir=_cache_dir(given.cache_dir, given.source),
        mirror=given.mirror,
        recordio=given.recordio,
        pretrain=given.pretrain,
        validation_images=given.validation_images,
        share=this_instance(),
    )


def _cache_dir(text: str | None, source: str) -> Path | None:
    if text is not None:
        return Path(text).expanduser() if text else None
    if source.startswith("s3://"):  # near, as a rule, and often another archive each time
        return None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scones"


def _image_size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) == 1:
        sides *= 2
    if len(sides) != 2 or not all(side.isdecimal() and 1 <= int(side) <= 1024 for side in sides):
        raise OptionError(f'--image-size is a number of pixels from 1 to 1024, or 64x48; not "{text}"')
    return int(sides[0]), int(sides[1])


def _md5(text: str | None) -> str | None:
    if text and not (len(text) == 32 and set(text.lower()) <= set("0123456789abcdef")):
        raise OptionError(f'--md5 is 32 hexadecimal digits; not "{text}"')
    return text.lower() if text else None


def main() -> None:
    options = parse_options()
    statistics = prepare(options)
    for channel, split in statistics["splits"].items():
        counts = ", ".join(f"{count:,} {name}" for name, count in split["per_class"].items())
        print(f"{channel}: {split['images']:,} images ({counts})")
    print(f"all of it is in {options.output_dir}; see {options.output_dir / STATISTICS / 'samples.png'}")


if __name__ == "__main__":
    sys.exit(run(main))
