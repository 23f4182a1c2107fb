"""The picture of how far confidences can be trusted, whatever the evaluation found."""

import io

import numpy as np
import pytest
from PIL import Image

from processing import metrics, threshold
from processing.calibration_picture import calibration_png

pytest.importorskip("matplotlib.figure")

CALIBRATION = {"target": 0.99, "coverage": 0.9}


@pytest.mark.parametrize(
    ("card", "shares"),
    [
        ({"threshold": 0.9, "trained": {"calibration": CALIBRATION}}, [0.95, 0.6, 0.1, 0.4]),
        ({"threshold": 0.99, "trained": {"calibration": CALIBRATION}}, [0.6, 0.6, 0.4, 0.4]),  # keeps none
        ({"threshold": None, "trained": {"calibration": CALIBRATION}}, [1.0, 1.0, 0.0, 0.0]),
        ({}, [0.5, 0.5, 0.5, 0.5]),
    ],
)
def test_draws(card, shares):
    labels = np.array([1, 1, 0, 1])
    probabilities = np.stack([1 - np.array(shares), shares], axis=1)
    evaluation = {
        "calibration": metrics.calibration(labels, probabilities),
        "recommended_threshold": threshold.recommended(card, labels, probabilities),
    }
    with Image.open(io.BytesIO(calibration_png(labels, probabilities, evaluation))) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20  # something is drawn


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"threshold": 0.9, "trained": {"calibration": CALIBRATION}}, ["target 0.99", "threshold 0.9"]),
        ({"threshold": None, "trained": {"calibration": CALIBRATION}}, ["target 0.99"]),
        ({}, []),
    ],
)
def test_every_line_is_in_a_legend_and_each_bar_says_how_sure_it_is(saved_figures, card, said):
    shares = np.array([0.55] * 4 + [0.95] * 40)
    labels = np.array([1, 0, 1, 0] + [1] * 38 + [0] * 2)
    probabilities = np.stack([1 - shares, shares], axis=1)
    evaluation = {
        "calibration": metrics.calibration(labels, probabilities),
        "recommended_threshold": threshold.recommended(card, labels, probabilities),
    }
    calibration_png(labels, probabilities, evaluation)

    reliability, coverage = saved_figures[0].axes
    legends = [
        [text.get_text() for text in axes.get_legend().get_texts()] for axes in (reliability, coverage)
    ]
    assert legends == [
        ["as right as it is sure", "this model, 95 % intervals (Wilson)"],
        ["this model", *said],
    ]
    (bars,) = reliability.collections
    ends = [segment[:, 1] for segment in bars.get_segments()]
    expected = [metrics.wilson_interval(2, 4), metrics.wilson_interval(38, 40)]
    np.testing.assert_allclose(ends, expected)
