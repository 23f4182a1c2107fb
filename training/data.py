"""Reads a channel: a folder of images and the `.lst` file that labels them, into one tensor."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training.images import BAD_HEADER, BAD_IMAGE, read_image
    from training.model import MAXIMUM_SIDE, MINIMUM_SIDE
else:
    from images import BAD_HEADER, BAD_IMAGE, read_image
    from model import MAXIMUM_SIDE, MINIMUM_SIDE


# Of the pretrain channel; the network has an output for each.
MOST_OTHER_CLASSES = 10_000


class ChannelError(Exception):
    """A channel that cannot be trained on; the message says which file or line, and what to do."""


@dataclass(frozen=True)
class Channel:
    """`images` is uint8 [N, 3, H, W]; `labels` is int64 [N], 0-based in the order of the classes."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> "Channel":
        return Channel(self.images[indices], self.labels[indices])


def read_list(path: Path, classes: int) -> list[tuple[int, str]]:
    """(label, file name) of each line of a `.lst` file: tab-separated `index`, `label`, `file name`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, IsADirectoryError):
        raise ChannelError(f"{path} is no text in UTF-8") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.split("\t")
        try:
            index, label, name = fields
            int(index)
            value = whole(label)
        except (ValueError, OverflowError):
            raise ChannelError(
                f"{path} line {number}: index, label and file name separated by tabs expected, not {line!r}"
            ) from None
        if not 0 <= value < classes:
            raise ChannelError(
                f"{path} line {number}: label {value} is outside 0..{classes - 1}: the hyperparameter "
                f"'classes' names {classes}"
            )
        rows.append((value, name))
    return rows


def whole(text: str) -> int:
    """A label, also as MXNet's tools write it: 1.000000. Raises ValueError."""
    value = float(text)
    if not value.is_integer():
        raise ValueError(text)
    return int(value)


def check_size(folder: Path, width: int, height: int) -> None:
    """Whether the network takes such images: a model of others could not be loaded. Raises ChannelError."""
    for wrong, bound, way in (
        (min(width, height) < MINIMUM_SIDE, f"least {MINIMUM_SIDE}", "larger"),
        (max(width, height) > MAXIMUM_SIDE, f"most {MAXIMUM_SIDE}", "smaller"),
    ):
        if wrong:
            raise ChannelError(
                f"{folder} has images of {width} x {height} pixels; the network needs sides of at {bound}: "
                f"prepare them with a {way} --image-size"
            )


def read_channel(folder: Path, classes: int, size: tuple[int, int] | None = None) -> Channel:
    """Everything that the channel's `.lst` file lists; raises ChannelError.

    Without `size` (width, height) the first image decides, and the others are resized to it.
    """
    lists = sorted(folder.glob("*.lst"))
    if len(lists) != 1:
        found = "none" if not lists else ", ".join(path.name for path in lists)
        raise ChannelError(
            f"{folder} must hold one .lst file, not {found}: is it a channel that processing.prepare wrote?"
        )
    rows = read_list(lists[0], classes)
    if not rows:
        raise ChannelError(f"{lists[0]} lists no images: nothing to learn from")
    pixels = []
    for _, name in rows:
        try:
            if "\0" in name or not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise ChannelError(f"{lists[0]} lists {name}, which is outside the channel's folder")
            pixels.append(read_image(folder / name, size))
        except FileNotFoundError:
            raise ChannelError(f"{folder / name} is missing, though {lists[0].name} lists it") from None
        except (*BAD_IMAGE, RuntimeError) as error:  # of a link to itself, before Python 3.13
            raise ChannelError(f"{folder / name} cannot be read as an image: {error}") from None
        if size is None:
            size = (pixels[0].shape[1], pixels[0].shape[0])
            check_size(folder, *size)
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return Channel(images, torch.tensor([label for label, _ in rows], dtype=torch.int64))


def read_arrays(folder: Path, size: tuple[int, int]) -> Channel:
    """The `pretrain` channel: `images.npy` (uint8 [N, H, W, 3]) and `labels.npy` (integers [N]).

    Raises ChannelError, also where the images are not of `size` (width, height).
    """
    arrays = []
    for name in ("images.npy", "labels.npy"):
        try:
            arrays.append(np.load(folder / name, allow_pickle=False))
        except FileNotFoundError:
            raise ChannelError(
                f"{folder / name} is missing: is it the channel that processing.prepare --pretrain wrote?"
            ) from None
        except (*BAD_HEADER, BadZipFile) as error:
            raise ChannelError(f"{folder / name} is no readable .npy file: {error}") from None
    images, labels = arrays
    if not all(isinstance(array, np.ndarray) for array in arrays) or labels.ndim != 1:
        raise ChannelError(f"{folder} holds no arrays, or labels that are no row of numbers")
    expected = (len(labels), size[1], size[0], 3)
    if images.dtype != np.uint8 or images.shape != expected or labels.dtype.kind not in "iu":
        raise ChannelError(
            f"{folder} holds images {images.dtype} {list(images.shape)} for labels {labels.dtype} "
            f"{list(labels.shape)}; uint8 {list(expected)} is expected, of the train channel's size"
        )
    if len(labels) < 2 or labels.min() < 0 or labels.max() >= MOST_OTHER_CLASSES:
        raise ChannelError(
            f"{folder} holds fewer than two images, or a label outside 0 to {MOST_OTHER_CLASSES - 1:,}: "
            "nothing to pretrain on"
        )
    return Channel(
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels.astype(np.int64))
    )
