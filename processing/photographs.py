"""PNG and JPEG files of any size as pixels of one size, decoded side by side."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from processing.job import UnreadableError

# The server's own limits; see training/inference.py.
MAX_PIXELS, MAX_SIDE = 50_000_000, 32_768
_BAD_IMAGE = (
    OSError,
    SyntaxError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
Note = TypeVar("Note")


class PhotographError(UnreadableError):
    """No image that can be read, or one that is too large: the message names it."""


@dataclass(frozen=True)
class _Waiting(Generic[Note]):
    note: Note
    pixels: Future[np.ndarray]


class Decoder(Generic[Note]):
    """Each core decodes an image while the next are read. What comes out keeps the order of what went in.

    A note goes with each image. To be closed.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """`size` is the width and height of what comes out."""
        self._size = size
        self._cores = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._cores, "decode")
        self._waiting: deque[_Waiting[Note]] = deque()

    def put(self, content: bytes, name: str, note: Note) -> Iterator[tuple[Note, np.ndarray]]:
        """One more file, `name` for messages; yields images of before. Raises `PhotographError`."""
        self._waiting.append(_Waiting(note, self._pool.submit(decode, content, name, self._size)))
        if len(self._waiting) > 2 * self._cores:
            yield self._next()

    def rest(self) -> Iterator[tuple[Note, np.ndarray]]:
        """Those that have not come out yet. Raises `PhotographError`."""
        while self._waiting:
            yield self._next()

    def close(self) -> None:
        """Forget what is left."""
        self._pool.shutdown(cancel_futures=True)

    def _next(self) -> tuple[Note, np.ndarray]:
        first = self._waiting.popleft()
        return first.note, first.pixels.result()


def decode(content: bytes, name: str, size: tuple[int, int]) -> np.ndarray:
    """RGB, uint8 [height, width, 3], as the model's server makes it of a request with the same image.

    That is in training/images.py, which is not among a processing job's files; a test compares them.
    Raises `PhotographError`.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise PhotographError(
                    f"{name} has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are taken, "
                    f"and {MAX_SIDE:,} a side"
                )
            return np.asarray(_rgb(image).resize(size, Image.Resampling.BICUBIC))
    except UnidentifiedImageError:
        raise PhotographError(f"{name} is no readable PNG or JPEG image") from None
    except _BAD_IMAGE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise PhotographError(f"{name} is no readable PNG or JPEG image: {reason}") from None


def _rgb(image: Image.Image) -> Image.Image:
    """Upright, three channels of 8 bits."""
    image.load()  # where it is the pixels that are damaged, this says so, and not the tags
    try:
        turned = ImageOps.exif_transpose(image)
    except _BAD_IMAGE:
        turned = image
    if turned.mode.startswith("I"):
        turned = Image.fromarray((np.asarray(turned) >> 8).clip(0, 255).astype(np.uint8))
    return turned.convert("RGB")
