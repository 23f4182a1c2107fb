"""Our PNG files are read as what they were made of."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from processing import png


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_pillow_reads_the_same_pixels(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(png.encode(pixels))) as image:
        image.load()
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), pixels)


def test_pixels_need_not_lie_side_by_side():
    planes = np.random.default_rng(1).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    pixels = planes.transpose(1, 2, 0)
    with Image.open(io.BytesIO(png.encode(pixels))) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_damage_is_noticed():
    content = bytearray(png.encode(np.zeros((8, 8, 3), np.uint8)))
    content[-20] ^= 1
    with pytest.raises((OSError, SyntaxError)), Image.open(io.BytesIO(bytes(content))) as image:
        image.load()
