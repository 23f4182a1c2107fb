"""Pixels as the network takes them, the same in training and in serving.

Shipped into the model's `code/` folder beside `inference.py`.
"""

import struct
import zlib
from contextlib import suppress
from pathlib import Path
from tokenize import TokenError

import numpy as np
from PIL import Image, ImageOps

# What Pillow raises on damaged files, and NumPy on damaged headers, which it reads as Python.
BAD_IMAGE = (
    OSError,
    SyntaxError,
    EOFError,
    ValueError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
BAD_HEADER = (
    ValueError,
    KeyError,
    TypeError,
    OSError,
    EOFError,
    SyntaxError,
    MemoryError,
    RecursionError,
    TokenError,
)


def upright(image: Image.Image) -> Image.Image:
    """The image itself, turned as the camera's orientation tag says, where its tags can be read.

    Raises one of BAD_IMAGE where it is the pixels that are damaged.
    """
    image.load()  # before the tags: asked a second time, Pillow gives what it could not decode as black
    if image.mode == "P" and image.palette is None:
        raise ValueError("its palette is missing")  # black, too, or an assertion
    with suppress(*BAD_IMAGE, TypeError, LookupError, ArithmeticError):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def rgb(image: Image.Image) -> Image.Image:
    """Upright, three channels of 8 bits; no copy where it is that already. Raises one of BAD_IMAGE.

    Grey of 16 bits is scaled: Pillow would cut it off at 255, which is white nearly everywhere.
    """
    turned = upright(image)
    if turned.mode.startswith("I"):
        turned = Image.fromarray((np.asarray(turned) >> 8).clip(0, 255).astype(np.uint8))
    return turned if turned.mode == "RGB" else turned.convert("RGB")


def read_image(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """RGB pixels, uint8 [H, W, 3], resized to `size` (width, height) if one is given."""
    with Image.open(path) as image:
        pixels = np.asarray(rgb(image))
    return pixels if size is None else fitted(pixels, size)


def fitted(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W, 3] in `size` (width, height); as it is where it has that already."""
    height, width, _ = pixels.shape
    if (width, height) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
