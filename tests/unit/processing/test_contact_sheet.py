"""Contact sheets: nothing lies on anything else, and images fill their cells."""

import io

import numpy as np
import pytest
from PIL import Image

from processing.contact_sheet import GAP, INK, LINE, PAPER, Row, Tile, sheet_png

RED = np.zeros((32, 32, 3), np.uint8) + np.array([200, 0, 0], np.uint8)


def sheet(*rows: Row, **options: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sheet_png(rows, **options))).convert("RGB")).astype(int)


def reds(picture: np.ndarray) -> np.ndarray:
    return (picture == (200, 0, 0)).all(axis=2)


def test_a_title_and_a_caption_stand_clear_of_the_image():
    picture = sheet(Row("jgpq, the surest first", [Tile(RED, ("is jgpq", "said jgpq 0.99"))]), cell_width=132)
    written = np.flatnonzero(
        (np.abs(picture - PAPER).sum(axis=2) > 60)[:, :300].any(axis=1) & ~reds(picture).any(axis=1)
    )
    image = np.flatnonzero(reds(picture).any(axis=1))
    above = written[written < image.min()]
    assert len(above) > 5
    assert image.min() - above.max() >= 3
    assert len(written[written > image.max()]) > 10
    assert (picture == INK).all(axis=2).any()


@pytest.mark.parametrize(("cell_width", "side"), [(64, 64), (100, 64), (132, 128), (200, 192)])
def test_an_image_is_as_large_as_its_cell_lets_it_be(cell_width, side):
    found = reds(sheet(Row("", [Tile(RED)] * 2), cell_width=cell_width))
    assert found.any(axis=1).sum() == side
    assert found.any(axis=0).sum() == 2 * side


def test_a_row_without_a_title_has_no_room_for_one():
    tall, low = (sheet(Row("first", [Tile(RED)]), Row(title, [Tile(RED)])) for title in ("second", ""))
    assert len(tall) - len(low) == LINE + GAP
