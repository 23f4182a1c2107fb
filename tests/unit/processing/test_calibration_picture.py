"""The picture of how far confidences can be trusted, whatever the evaluation found."""

import io

import numpy as np
import pytest
from PIL import Image

from processing import metrics, threshold
from processing.calibration_picture import calibration_png

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
    pytest.importorskip("matplotlib")
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
