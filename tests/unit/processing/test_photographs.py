"""Damaged images: the preparation and the server refuse the same ones, and make the same of all others."""

import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from processing import photographs
from processing.photographs import PhotographError
from training import images, inference
from training.inference import ImageError

SIZE = (32, 32)
NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def encoded(mode: str, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


FILES = {
    "JPEG": encoded("RGB", "JPEG"),
    "progressive": encoded("RGB", "JPEG", progressive=True),
    "CMYK": encoded("CMYK", "JPEG"),
    "turned JPEG": encoded("RGB", "JPEG", exif=turned()),
    "PNG": encoded("RGB", "PNG"),
    "grey": encoded("L", "PNG"),
    "palette": encoded("P", "PNG"),
    "transparent": encoded("RGBA", "PNG"),
    "turned PNG": encoded("RGB", "PNG", exif=turned()),
}


def prepared(content: bytes) -> np.ndarray | None:
    try:
        return photographs.decode(content, "it", SIZE)
    except PhotographError:
        return None


def served(content: bytes) -> np.ndarray | None:
    try:
        return images.fitted(inference.decode_image(content), SIZE)
    except ImageError:
        return None


def damaged(content: bytes, at: float, size: int, filling: int) -> bytes:
    start = int(at * len(content))
    return content[:start] + bytes([filling]) * size + content[start + size :]


def a_huffman_table() -> float:
    return (FILES["JPEG"].index(b"\xff\xc4") + 5) / len(FILES["JPEG"])


@given(
    st.sampled_from(sorted(FILES)), st.floats(0, 1, exclude_max=True), st.integers(1, 20), st.integers(0, 255)
)
@example("JPEG", a_huffman_table(), 16, 255)
@example("palette", (FILES["palette"].index(b"PLTE") + 1) / len(FILES["palette"]), 4, 65)
def test_what_is_damaged_is_refused_by_both_or_is_the_same_to_both(kind, at, size, filling):
    content = damaged(FILES[kind], at, size, filling)
    one, other = prepared(content), served(content)
    assert (one is None) == (other is None)
    assert one is None or np.array_equal(one, other)


def test_pixels_that_cannot_be_decoded_are_not_served_as_black_ones():
    content = damaged(FILES["JPEG"], a_huffman_table(), 16, 255)
    with pytest.raises(ImageError, match="no readable PNG or JPEG image: broken data stream"):
        inference.decode_image(content)
    with pytest.raises(PhotographError, match="it is no readable PNG or JPEG image: broken data stream"):
        photographs.decode(content, "it", SIZE)


def test_a_picture_whose_palette_is_gone_is_refused():
    content = FILES["palette"]
    place = content.index(b"PLTE") - 4
    length = int.from_bytes(content[place : place + 4])
    without = content[:place] + content[place + 12 + length :]
    for read in (inference.decode_image, lambda it: photographs.decode(it, "it", SIZE)):
        with pytest.raises((ImageError, PhotographError), match="its palette is missing"):
            read(without)
