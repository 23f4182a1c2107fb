"""PrepareData: an archive becomes two folders of images with their labels, and statistics of both.

    python -m processing.prepare --source cifar100 --classes bicycle,motorcycle --output-dir out

The archive is CIFAR-100, or holds one's own images, a folder a class. It is read once, as a stream:
download, checksums, gunzip and filter run side by side.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processing.cache import ArchiveCache
from processing.cifar100 import CHANNEL_OF_SPLIT, IMAGE_SIDE, parse_classes
from processing.fetch import Fetch
from processing.instances import WHOLE, Share, this_instance
from processing.job import JobError, UnreadableError, end, run, shown
from processing.layout import (
    CLASS_NAME,
    IMAGES,
    LARGEST_PRETRAIN_SIDE,
    PARTS,
    PRETRAIN,
    RECORDIO,
    SAMPLES,
    STATISTICS,
    is_ours,
    may_be_ours,
)
from processing.outputs import staged
from processing.sources import resolve
from processing.stream import Background, ForwardFile, gunzip

# Chunks of at most 1 MiB. What is unpacked while numpy is loaded and 50,000 names are read finds room.
UNPACKED_AHEAD = 96
# How long a thread keeps Python's lock from others. With the default 5 ms, what a chunk takes to unpack, the
# unpacking waited for a third of its time, and the whole took a sixth longer. 0.5 ms did not help.
SWITCH_SECONDS = 0.00002


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
        except UnreadableError:
            if not fetch.discard():
                raise
        print(f"the kept copy of {shown(fetch.name)} cannot be read; fetching it again", file=sys.stderr)


def _prepare(fetch: Fetch, options: Options) -> dict[str, Any]:
    parts = _parts(options)
    # Those of an earlier run with other options go: their labels may be others.
    stale = [part for part in PARTS if part not in parts]
    with (
        staged(options.output_dir, parts, is_ours, stale, may_be_ours) as folder,
        _unpacked(fetch) as file,
    ):
        from processing.selection import write_selection  # numpy and Pillow are loaded beside the unpacking

        return write_selection(file, fetch, options, folder)


def _parts(options: Options) -> list[str]:
    """The folders to write."""
    channels = list(CHANNEL_OF_SPLIT.values())
    record_parts = [f"{channel}{RECORDIO}" for channel in channels] if options.recordio else []
    pretrain = [PRETRAIN] if options.pretrain else []
    images = [IMAGES] if options.validation_images else []
    return [*channels, *record_parts, *pretrain, *images, STATISTICS]


@contextmanager
def _unpacked(fetch: Fetch) -> Iterator[ForwardFile]:
    """The archive's content; reading and unpacking have begun."""
    with (
        Background(fetch.chunks()) as chunks,
        Background(gunzip(chunks, fetch.name), UNPACKED_AHEAD) as pieces,
    ):
        yield ForwardFile(pieces)


def _parser() -> argparse.ArgumentParser:
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
    return parser


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Raises `OptionError` and `UnknownClassError`."""
    given = _parser().parse_args(arguments)
    width, height = _image_size(given.image_size)
    if given.pretrain and max(width, height) > LARGEST_PRETRAIN_SIDE:
        raise OptionError(
            f"--pretrain holds 50,000 images in memory: give --image-size {LARGEST_PRETRAIN_SIDE} or less"
        )
    return Options(
        source=given.source,
        classes=_classes(given.classes, given.source),
        output_dir=given.output_dir,
        image_size=(width, height),
        md5=_md5(given.md5),
        cache_dir=_cache_dir(given.cache_dir, given.source),
        mirror=given.mirror,
        recordio=given.recordio,
        pretrain=given.pretrain,
        validation_images=given.validation_images,
        share=this_instance(),
    )


def _classes(text: str, source: str) -> tuple[str, ...]:
    """Those of CIFAR-100 where it is known to be that; else the archive will tell."""
    if source == "cifar100":
        return parse_classes(text)
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not re.fullmatch(CLASS_NAME, name):
            raise OptionError(
                f'no class "{name}": up to 64 lower-case letters, digits and _, as in cargo_bike'
            )
    if len(set(names)) != len(names):
        raise OptionError(f'a class is named twice in "{text}"')
    return names


def _cache_dir(text: str | None, source: str) -> Path | None:
    if text == "":
        return None
    if text is None and source.startswith("s3://"):  # near, as a rule, and often another archive each time
        return None
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(text or f"{home}/scones").expanduser()
    except RuntimeError:  # nobody's: a container's user needs no account
        if text is None:
            return None
        raise OptionError(f"--cache-dir {text} is in the home of somebody who has none here") from None


def _image_size(text: str) -> tuple[int, int]:
    sides = re.fullmatch("([0-9]{1,4})(?:[xX]([0-9]{1,4}))?", text)
    width, height = (int(side or sides[1]) for side in sides.groups()) if sides else (0, 0)
    if not (1 <= width <= 1024 and 1 <= height <= 1024):
        raise OptionError(f'--image-size is a number of pixels from 1 to 1024, or 64x48; not "{text}"')
    return width, height


def _md5(text: str | None) -> str | None:
    if text and not (len(text) == 32 and set(text.lower()) <= set("0123456789abcdef")):
        raise OptionError(f'--md5 is 32 hexadecimal digits; not "{text}"')
    return text.lower() if text else None


def set_up_process() -> None:
    """For a process that does nothing else: what makes it faster there."""
    gc.disable()  # it would look for cycles among 100,000 names, again and again; there are none
    sys.setswitchinterval(SWITCH_SECONDS)
    # Numpy's threads for products of matrices, of which there are none here, would wait busily for a while.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    options = parse_options()
    statistics = prepare(options)
    for channel, split in statistics["splits"].items():
        counts = ", ".join(f"{count:,} {name}" for name, count in split["per_class"].items())
        print(f"{channel}: {split['images']:,} images ({counts})")
    folder = options.output_dir
    print(shown(f"all of it is in {folder}; see {folder / STATISTICS / SAMPLES}"))


if __name__ == "__main__":
    set_up_process()
    end(run(main))
