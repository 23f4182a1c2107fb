"""One's own images: an archive with a folder a class, as torchvision's ImageFolder has them.

    bicycle/1.jpg             or      train/bicycle/1.jpg
    motorcycle/2.png                  validation/bicycle/2.jpg

Where no folders name the splits, a fifth of the images is kept for validation: those whose digest says so,
so that an image stays where it is, whatever is added beside it.
https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from processing.archive import ArchiveContentError
from processing.channels import ChannelWriter
from processing.cifar100 import plain_name
from processing.job import JobError, shown
from processing.tar_stream import Member

SUFFIXES = (".png", ".jpg", ".jpeg")
# By the folder that holds the classes' folders. What is held back has one name here, as in CIFAR-100.
TRAIN, TEST = "train", "test"
SPLITS = {"train": TRAIN, "training": TRAIN, "val": TEST, "valid": TEST, "validation": TEST, "test": TEST}
VALIDATION_SHARE = 0.2
MAX_IMAGE_BYTES = 64 << 20
MAX_NAME = 1_000  # characters: a tar's header may hold a million, and names are kept
SHOWN = 20  # names in a message


class ImageFoldersError(JobError):
    """The images are readable, and not what can be learned from: the message names class or member."""


@dataclass(frozen=True)
class Place:
    """Where its folders put an image; `split` is None where they name none."""

    split: str | None
    class_name: str


@dataclass(frozen=True)
class _Seen:
    member: str
    label: int
    split: str


def place(path: PurePosixPath) -> Place | None:
    """None for what lies in no folder or is hidden, as macOS's `._1.jpg` is."""
    if len(path.parts) < 2 or any(part.startswith(".") for part in path.parts):
        return None
    named = (SPLITS[part.lower()] for part in reversed(path.parts[:-2]) if part.lower() in SPLITS)
    return Place(next(named, None), plain_name(path.parts[-2]))


def is_image(path: PurePosixPath) -> bool:
    """By its name, as everything that is chosen before it is read."""
    return path.suffix.lower() in SUFFIXES


class ImageFolders:
    """Takes the images of the chosen classes out of an archive that streams by."""

    def __init__(
        self,
        archive: str,
        classes: Sequence[str],
        size: tuple[int, int],
        writers: Mapping[str, ChannelWriter],
    ) -> None:
        """`archive` is its name for messages, `size` width and height, `writers` are by split."""
        self._archive, self._size, self._writers = archive, size, writers
        self._labels = {name: label for label, name in enumerate(classes)}
        self._names: set[str] = set()
        self._seen: dict[bytes, _Seen] = {}  # by the digest of the file
        self._first: tuple[str, bool] | None = None  # a member, and whether folders name its split
        self._numbers = dict.fromkeys(writers, 0)
        self._others: dict[str, int] = {}  # images in folders that were not asked for
        self._duplicates = 0
        self._formats: dict[str, int] = {}  # of the chosen classes' files that are no images, by suffix

    def offer(self, member: Member) -> bool:
        """Whether it is an image of a chosen class, which then is written. Raises `JobError`."""
        path = PurePosixPath(member.name)
        where = place(path)
        if where is None:
            return False
        chosen = where.class_name in self._labels
        if chosen and is_image(path):
            self._take(member, where)
            return True
        if is_image(path):
            folder = shown(str(path.parent))
            if folder in self._others or len(self._others) < SHOWN:
                self._others[folder] = self._others.get(folder, 0) + 1
        elif chosen:
            suffix = shown(path.suffix.lower() or "no suffix", SHOWN)
            if suffix in self._formats or len(self._formats) < SHOWN:
                self._formats[suffix] = self._formats.get(suffix, 0) + 1
        return False

    @property
    def any(self) -> bool:
        """Whether there was an image of a chosen class."""
        return bool(self._names)

    @property
    def left_out(self) -> list[str]:
        """What of the archive was passed over, a sentence each; none where nothing was."""
        said = []
        if self._duplicates:
            said.append(f"left out, being the same as others: {self._duplicates:,}")
        if self._formats:
            said.append(f"left out, no .png, .jpg or .jpeg: {_counts(self._formats)}")
        if self._others:
            said.append(f"left out, in folders of no chosen class: {_counts(self._others)}")
        return said

    def finish(self) -> None:
        """Raises `ImageFoldersError` where a class has no image in one of the splits."""
        for split, writer in self._writers.items():
            for name, count in writer.statistics.per_class.items():
                if not count:
                    raise ImageFoldersError("; ".join([self._lacks(split, name), *self.left_out]))

    def _lacks(self, split: str, name: str) -> str:
        all_of_it = sum(writer.statistics.per_class[name] for writer in self._writers.values())
        channel = self._writers[split].channel
        if not all_of_it:
            return f"{self._archive} has no image in a folder {name}"
        if self._first and self._first[1]:
            return f"{self._archive} has no image of {name} for {channel}, by the folders that are named so"
        return (
            f"{self._archive} has too few images of {name}, {all_of_it:,}: none falls to {channel}. Add "
            "more, or put them into folders train and validation"
        )

    def _take(self, member: Member, where: Place) -> None:
        content = self._read(member)
        digest = hashlib.sha256(content).digest()
        split = where.split or _split_of(digest)
        label = self._labels[where.class_name]
        self._check_layout(member, where)
        seen = _Seen(member.name, label, split)
        earlier = self._seen.setdefault(digest, seen)
        if earlier is not seen:
            self._check_duplicate(earlier, seen)
            self._duplicates += 1
            return
        number = self._numbers[split]
        self._numbers[split] += 1
        from processing.photographs import decode  # with what it needs: CIFAR-100 has no use for it

        pixels = decode(content, member.name, self._size)[None]
        self._writers[split].add(np.array([number]), np.array([label]), pixels, [member.name])

    def _read(self, member: Member) -> bytes:
        if len(member.name) > MAX_NAME:
            raise ArchiveContentError(f"{shown(member.name)}: a name has {MAX_NAME:,} characters at most")
        name = str(PurePosixPath(member.name))  # ./a/1.png is a/1.png
        if name in self._names:
            raise ArchiveContentError(f"{self._archive} holds {name} twice")
        self._names.add(name)
        if member.size > MAX_IMAGE_BYTES:
            raise ArchiveContentError(
                f"{member.name} has {member.size:,} bytes; of an image {MAX_IMAGE_BYTES >> 20} MiB are read"
            )
        return member.read(member.size)

    def _check_layout(self, member: Member, where: Place) -> None:
        named = where.split is not None
        first, first_named = self._first = self._first or (member.name, named)
        if named != first_named:
            with_it, without = (member.name, first) if named else (first, member.name)
            raise ArchiveContentError(
                f"{with_it} is in a folder for its split and {without} is not: do it for all, or for none"
            )

    def _check_duplicate(self, earlier: _Seen, later: _Seen) -> None:
        if earlier.label != later.label:
            raise ImageFoldersError(
                f"{later.member} and {earlier.member} are the same image in two classes: remove one"
            )
        if earlier.split != later.split:
            raise ImageFoldersError(
                f"{later.member} and {earlier.member} are the same image, for training and for validation, "
                "where it would be known by heart: remove one"
            )


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in found.items())


def _split_of(digest: bytes) -> str:
    return TEST if int.from_bytes(digest[:4]) < VALIDATION_SHARE * (1 << 32) else TRAIN
