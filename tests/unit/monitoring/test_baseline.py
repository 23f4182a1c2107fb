"""What a baseline is read from, and what is none."""

import json

import numpy as np
import pytest

from monitoring.baseline import Baseline, BaselineError

STATISTICS = {
    "splits": {
        "train": {
            "per_class": {"bicycle": 30, "motorcycle": 10},
            "brightness_histogram": [0] * 16 + [10] + [0] * 14 + [10],  # bins of 8: 128..136 and 248..256
        }
    }
}


def lines(*rows):
    return "".join(json.dumps({"file": "a.png", "probabilities": row}) + "\n" for row in rows).encode()


def test_statistics_and_predictions():
    found = Baseline.read(STATISTICS, lines([0.9, 0.1], [0.25, 0.75]))

    assert found.per_class == {"bicycle": 30, "motorcycle": 10}
    assert found.mean_brightness == pytest.approx((132 + 252) / 2)
    assert np.array_equal(found.answers, [[0.9, 0.1], [0.25, 0.75]])


@pytest.mark.parametrize("predictions", [None, b""])
def test_predictions_may_be_gone(predictions):
    assert Baseline.read(STATISTICS, predictions).answers is None


def test_no_images_have_no_brightness():
    split = STATISTICS["splits"]["train"] | {"brightness_histogram": [0] * 32}
    assert Baseline.read({"splits": {"train": split}}).mean_brightness is None


@pytest.mark.parametrize(
    "statistics",
    [
        {},
        {"splits": []},
        {"splits": {"train": {"per_class": {}}}},
        {"splits": {"train": {"per_class": {"a": 1, "b": 1}, "brightness_histogram": []}}},
        {"splits": {"train": {"per_class": {"a": 1, "b": 1}, "brightness_histogram": 7}}},
        {"splits": {"train": {"per_class": {"a": 1, "b": 1}, "brightness_histogram": [1, -1]}}},
        {"splits": {"train": {"per_class": {"a": 1, "b": 1}, "brightness_histogram": [1, None]}}},
        {"splits": {"train": {"per_class": ["a"], "brightness_histogram": [1]}}},
    ],
)
def test_other_statistics_are_refused(statistics):
    with pytest.raises(BaselineError, match="not those of PrepareData"):
        Baseline.read(statistics)


@pytest.mark.parametrize(
    "predictions",
    [
        b"no JSON",
        b"{}\n",
        b"[]\n",
        lines([0.5, 0.25, 0.25]),
        lines([0.5, 0.5], [1.0]),
        lines([2, -1]),
        lines([float("nan"), 0.5]),
        lines("ab"),
        lines(None),
        b"\xff\xfe\n",
    ],
)
def test_other_predictions_are_refused(predictions):
    with pytest.raises(BaselineError, match="not those of EvaluateModel"):
        Baseline.read(STATISTICS, predictions)
