"""The picture of which classes are taken for which."""

import io

import numpy as np
import pytest
from PIL import Image

from processing.confusion_picture import NAMED, NUMBERED, confusion_png

pytest.importorskip("matplotlib.figure")


def drawn(saved_figures, matrix):
    classes = [f"class {number}" for number in range(len(matrix))]
    with Image.open(io.BytesIO(confusion_png(np.array(matrix), classes))) as picture:
        assert picture.format == "PNG"
        assert max(picture.size) < 2500
    axes = saved_figures[0].axes[0]
    ticks = [
        [label.get_text() for label in labels] for labels in (axes.get_xticklabels(), axes.get_yticklabels())
    ]
    return axes, ticks


def test_a_row_is_an_actual_class(saved_figures):
    axes, (answers, actual) = drawn(saved_figures, [[94, 6], [0, 0]])

    assert answers == ["class 0", "class 1"]
    assert actual == ["class 0 (100)", "class 1 (0)"]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "94\n94.0%", (1, 0): "6\n6.0%", (0, 1): "0", (1, 1): "0"}
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.94, 0.06], [0, 0]])
    assert axes.get_title() == "94 of 100 right"


@pytest.mark.parametrize(
    ("classes", "numbers", "names"),
    [(NUMBERED, True, True), (NUMBERED + 1, False, True), (NAMED, False, True), (NAMED + 1, False, False)],
)
def test_what_there_is_no_room_for_is_left_out(saved_figures, classes, numbers, names):
    axes, (answers, actual) = drawn(saved_figures, np.eye(classes, dtype=int))

    assert bool(axes.texts) == numbers
    assert all(map(bool, answers + actual)) == names
