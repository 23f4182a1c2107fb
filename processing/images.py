"""A channel's images: their size, and what the manifest says about each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class LabelledImage:
    """One image of a channel, as it will be written.

    Attributes:
        file: its name in the channel's folder.
        label: 0-based, in the order of the chosen classes.
        class_name: of the label.
        source_record: the record's place in its split of the archive, from 0.
        source_name: the file name that the archive's record carries, if any.
        pixels: RGB; uint8 [height, width, 3].
    """

    file: str
    label: int
    class_name: str
    source_record: int
    source_name: str | None
    pixels: np.ndarray

    def manifest_line(self) -> dict[str, str | int | None]:
        height, width, _ = self.pixels.shape
        return {
            "file": self.file,
            "label": self.label,
            "class": self.class_name,
            "source_record": self.source_record,
            "source_name": self.source_name,
            "sha256": hashlib.sha256(self.pixels.tobytes()).hexdigest(),
            "width": width,
            "height": height,
        }


def from_planes(planes: np.ndarray) -> np.ndarray:
    """uint8 [n, 3, height, width] as [n, height, width, 3]."""
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 [n, h, w, 3] in another size, as the endpoint makes it of a request (`training/images.py`)."""
    if pixels.shape[1:3] == (height, width):
        return pixels
    resized = np.empty((len(pixels), height, width, 3), np.uint8)
    for target, image in zip(resized, pixels, strict=True):
        target[:] = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    return resized
