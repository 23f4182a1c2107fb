"""The data of an execution: drawn, brought by a person, or fetched by the job itself."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.settings import Settings

SYNTHETIC = "synthetic"
SEED = 0
SHOWN = 20  # folders in a message
IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8")


class ArchiveError(Exception):
    """What was given as data is no archive that can be had."""


@dataclass(frozen=True)
class Archive:
    """The data of a run.

    Attributes:
        kind: synthetic, file, folder or remote.
        source: what PrepareData is given: an S3 URI, a URL, or `cifar100`.
    """

    kind: str
    source: str


def kind_of(data: str) -> str:
    """synthetic, file, folder or remote.

    Raises:
        ArchiveError: it is none of them.
    """
    if data == SYNTHETIC:
        return SYNTHETIC
    if data == "cifar100" or re.match(r"(https?|s3)://", data):
        return "remote"
    if Path(data).is_file():
        return "file"
    if Path(data).is_dir():
        return "folder"
    raise ArchiveError(
        f"{data} is no file; data is {SYNTHETIC}, cifar100, a URL, or a path of an archive or of a folder of "
        "images"
    )


def check(data: str, classes: Sequence[str]) -> None:
    """What can be known before anything is started or sent.

    Raises:
        ArchiveError: it is no data, or a folder that lacks one of the classes or holds more than is read.
    """
    if kind_of(data) == "folder":
        _images(Path(data), classes)


def provide(s3: Any, settings: Settings, data: str, folder: Path) -> Archive:
    """Uploads what is on this machine under its digest; what is not, the job fetches as it would on AWS.

    Args:
        data: `synthetic`, `cifar100`, a URL (`http(s)://`, `s3://`), or a path of an archive, or of a folder
            with a folder of images a class.
        folder: where a drawn archive is written.

    Raises:
        ArchiveError: a folder lacks one of the classes, or holds more than is read.
    """
    kind = kind_of(data)
    if kind == "remote":
        return Archive(kind, data)
    if kind == "folder":
        with TemporaryDirectory(prefix="scones-images-") as packed:
            return Archive(kind, upload(s3, settings, pack(Path(data), settings.classes, Path(packed))))
    path = draw(settings, folder) if kind == SYNTHETIC else Path(data)
    return Archive(kind, upload(s3, settings, path))


def draw(settings: Settings, folder: Path) -> Path:
    """Draws the archive of bicycles and motorcycles, the same each time."""
    from processing.synthetic import write_archive

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "synthetic-cifar-100-python.tar.gz"
    write_archive(path, seed=SEED, classes=settings.classes)
    return path


def pack(images: Path, classes: Sequence[str], folder: Path) -> Path:
    """Packs the classes' images, the same bytes each time, so that their digest is the images' own.

    Raises:
        ArchiveError: `images` lacks one of the classes, holds more than is read, or what is no image.
    """
    from pipeline import progress
    from processing.pack import MEMBER_TIME

    found = _images(images, classes)
    path = folder / f"{images.resolve().name}.tar.gz"
    with (
        path.open("wb") as file,
        # Images are packed already: the least of effort finds what there is to find.
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=1) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
        progress.counting("packing", "images", len(found)) as packed,
    ):
        for done, name in enumerate(found, start=1):
            content = (images / name).read_bytes()  # whole, so that it is as large as its header says
            if not content.startswith(IMAGE_STARTS):
                raise ArchiveError(f"{images / name} is no PNG or JPEG image, whatever it is called")
            member = tarfile.TarInfo(str(name))
            member.mtime, member.size = MEMBER_TIME, len(content)
            archive.addfile(member, io.BytesIO(content))
            packed(done)
    return path


def _images(folder: Path, classes: Sequence[str]) -> list[PurePosixPath]:
    """Of the classes, in the order of their names: `bicycle/1.jpg` and `train/bicycle/1.jpg`."""
    from processing.image_folders import is_image, place
    from processing.stream import MAX_ARCHIVE_BYTES

    # No deeper: a slip such as `--data ~` is to be told soon.
    paths_at = (path for depth in ("*/*", "*/*/*") for path in folder.glob(depth))
    # A link may lead to what nobody means to send.
    files = (path for path in paths_at if path.is_file() and not path.is_symlink())
    paths = (PurePosixPath(path.relative_to(folder)) for path in files)
    by_path = {path: where.class_name for path in paths if is_image(path) and (where := place(path))}
    missing = [name for name in classes if name not in by_path.values()]
    if missing:
        there = sorted(set(by_path.values())) or ["none with .png, .jpg or .jpeg files"]
        more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
        raise ArchiveError(
            f"{folder} has no folder of images named {missing[0]}; there are {', '.join(there[:SHOWN])}{more}"
        )
    found = [path for path, name in by_path.items() if name in classes]
    size = sum((folder / path).stat().st_size for path in found)
    if size > MAX_ARCHIVE_BYTES:
        raise ArchiveError(
            f"{folder} holds {size / 2**30:.1f} GiB of images, and {MAX_ARCHIVE_BYTES >> 30} GiB at most are "
            "read: make them smaller first, the network sees few pixels of each"
        )
    return sorted(found)


def upload(s3: Any, settings: Settings, path: Path) -> str:
    """Puts the archive at `archives/<sha256>/<file name>` and returns its URI."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = re.sub(r"[^\w.-]+", "-", path.name)[-80:]  # a job's argument has 256 characters at most
    key = f"{settings.prefix}/archives/{digest}/{name}"
    with _shown(name, path.stat().st_size) as sent:
        s3.upload_file(str(path), settings.bucket, key, Callback=sent)
    return f"s3://{settings.bucket}/{key}"


@contextmanager
def _shown(name: str, size: int) -> Iterator[Callable[[int], None]]:
    """Inside, a function that takes the bytes of each part that was sent, from any thread."""
    from processing.progress import Meter

    meter, lock = Meter(f"uploading {name}", size), threading.Lock()

    def sent(count: int) -> None:
        with lock:
            meter.add(count)

    yield sent
    meter.finish()
