"""The picture: a row an image, with red where the map says so."""

import io

import numpy as np
import pytest
from PIL import Image

from monitoring.explain.figure import draw
from monitoring.explain.maps import GRADIENTS, OCCLUSION, Check, Explanation, Map


def explanation(
    values: np.ndarray, methods=(OCCLUSION,), classes: int = 2, name: str = "image.png", hidden: float = 0.2
):
    names = tuple(f"class-{number}" for number in range(classes))
    maps = tuple(Map(method, values, 1.0, Check(hidden, 0.8)) for method in methods)
    pixels = np.full((*values.shape, 3), 200, np.uint8)
    return Explanation(name, pixels, names, (0.9, *([0.1 / (classes - 1)] * (classes - 1))), names[-1], maps)


def drawn(*explanations: Explanation) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(draw(explanations))).convert("RGB")).astype(int)


@pytest.mark.parametrize("methods", [(OCCLUSION,), (OCCLUSION, GRADIENTS)], ids=len)
@pytest.mark.parametrize("classes", [2, 10])
def test_each_image_is_a_row_and_each_method_a_column(methods, classes):
    values = np.zeros((16, 16), np.float32)
    one = drawn(explanation(values, methods, classes))
    three = drawn(*[explanation(values, methods, classes, name="long" * 20)] * 3)
    assert one.shape[1] == three.shape[1] > 700 + 300 * len(methods)
    assert 2 < three.shape[0] / one.shape[0] < 3


@pytest.mark.parametrize(("sign", "channel"), [(1, 0), (-1, 2)], ids=["for is red", "against is blue"])
def test_the_map_is_coloured_where_its_values_are(sign, channel):
    values = np.zeros((16, 16), np.float32)
    values[:8] = sign
    picture = drawn(explanation(values))
    pixels = picture[..., channel] - picture[..., 2 - channel] > 50
    rows = np.flatnonzero(pixels.sum(axis=1) > 250)  # the map is wider than that, bars are not
    assert len(rows) > 100
    assert rows.max() < picture.shape[0] * 0.6  # the upper half of the map


def test_a_map_without_evidence_stays_pale():
    """Noise is not blown up to the full colours."""
    noise = np.random.default_rng(0).normal(0, 0.002, (16, 16)).astype(np.float32)
    difference = np.abs(drawn(explanation(noise)) - drawn(explanation(np.zeros_like(noise))))
    assert difference.max() < 80


@pytest.mark.parametrize(("hidden", "marked"), [(0.2, False), (0.75, True)], ids=["holds", "does not"])
def test_a_map_that_does_not_hold_is_not_drawn_like_the_rest(hidden, marked):
    picture = drawn(explanation(np.zeros((16, 16), np.float32), hidden=hidden))
    brown = (np.abs(picture - (0xA0, 0x40, 0x00)) < 10).all(axis=-1)
    assert (brown.sum() > 2000) == marked
