"""Learning curves: what the picture says in words."""

from pathlib import Path

import pytest

from training import curves
from training.calibrate import Calibration, Point
from training.fit import Epoch

HISTORY = [Epoch(n, 0.7 - n / 50, 0.6 + n / 50, 0.6 - n / 50, 0.7 + n / 50, float(n)) for n in range(1, 10)]


def calibration(threshold: float | None) -> Calibration:
    curve = tuple(Point(1 - share / 2, share, 1 - share / 10) for share in (0.1, 0.4, 0.7, 1.0))
    return Calibration(1000, 0.9, 0.3, 0.8, 0.05, 0.02, 0.99, threshold, 0.4 if threshold else 0.0, curve)


@pytest.fixture
def drawn(saved_figures, tmp_path: Path):
    """Draws, and gives the figure's panels and itself."""

    def draw(history, found):
        assert curves.draw(history, found, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
        return saved_figures[-1]

    return draw


@pytest.mark.parametrize(
    ("epochs", "found", "title"),
    [
        (9, calibration(0.96), "9 epochs, 1,000 training images"),
        (9, None, "9 epochs"),
        (1, None, "1 epoch"),
    ],
)
def test_the_title_says_what_was_trained_and_a_note_why_validation_is_better(drawn, epochs, found, title):
    figure = drawn(HISTORY[:epochs], found)
    assert figure.get_suptitle() == title
    assert "augmented" in figure.get_supxlabel()


@pytest.mark.parametrize(
    ("threshold", "said"), [(0.96, "confidence 0.96 and above: 40% kept"), (None, "no threshold reaches it")]
)
def test_the_threshold_is_in_the_legend_and_not_on_the_curve(drawn, threshold, said):
    kept = drawn(HISTORY, calibration(threshold)).axes[2]
    assert [text.get_text() for text in kept.get_legend().get_texts()] == ["target 0.99", said]
    assert not kept.texts


def test_a_single_epoch_is_seen(drawn):
    lines = [line for axes in drawn(HISTORY[:1], None).axes for line in axes.lines]
    assert {line.get_marker() for line in lines} == {"."}


@pytest.mark.parametrize("epochs", [1, 2, 9])
def test_epochs_are_whole_numbers(drawn, epochs):
    figure = drawn(HISTORY[:epochs], None)
    for axes in figure.axes:
        assert all(tick == int(tick) for tick in axes.get_xticks())
