"""PNG and JPEG files of any size as pixels of one size."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from contextlib import suppress

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from processing.job import JobError

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
)


class PhotographError(JobError):
    """No image that can be read, or one that is too large: the message names it."""


def decode(content: bytes, name: str, size: tuple[int, int]) -> np.ndarray:
    """RGB, uint8 [height, width, 3], as the model's server makes it of a request with the same image.

    That is in training/images.py, which is not among a processing job's files; a test compares them.
    Raises `PhotographError`.
    """
    with warnings.catch_warnings(action="ignore"):  # of odd tags and large images
        return _decoded(content, name, size)


def _decoded(content: bytes, name: str, size: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise PhotographError(
                    f"{name} has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are taken, "
                    f"and {MAX_SIDE:,} a side"
                )
            return np.asarray(_rgb(image).resize(size, Image.Resampling.BICUBIC))
    except Image.DecompressionBombError:
        raise PhotographError(f"{name} has more than {MAX_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise PhotographError(f"{name} is no readable PNG or JPEG image") from None
    except _BAD_IMAGE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise PhotographError(f"{name} is no readable PNG or JPEG image: {reason}") from None


def _rgb(image: Image.Image) -> Image.Image:
    """Upright, three channels of 8 bits; without a copy where it is that already."""
    image.load()  # where it is the pixels that are damaged, this says so, and not the tags
    if image.mode == "P" and image.palette is None:
        raise ValueError("its palette is missing")
    with suppress(*_BAD_IMAGE):  # of the tags: then it stays as it is
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
