"""What a baseline is read from, and what is none."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.baseline import Baseline, BaselineError, Source

CLASSES = ("bicycle", "motorcycle")
HISTOGRAM = [0] * 16 + [10] + [0] * 14 + [10]  # bins of 8: 128..136 and 248..256
COUNTS = {"motorcycle": 10, "bicycle": 30}


def read(per_class=COUNTS, histogram=HISTOGRAM, predictions=None, statistics=None):
    split = {"per_class": per_class, "brightness_histogram": histogram}
    content = json.dumps({"splits": {"train": split}}).encode() if statistics is None else statistics
    answers = None if predictions is None else Source("s3://b/predictions.jsonl", predictions)
    return Baseline.read(Source("s3://b/statistics.json", content), answers, CLASSES)


def lines(*rows):
    return "".join(json.dumps({"file": "a.png", "probabilities": row}) + "\n" for row in rows).encode()


def test_statistics_and_predictions():
    found = read(predictions=lines([0.9, 0.1], [0.25, 0.75]) + b"\n")

    assert list(found.per_class.items()) == [("bicycle", 30), ("motorcycle", 10)]  # as the model answers
    assert found.mean_brightness == pytest.approx((132 + 252) / 2)
    assert np.array_equal(found.confidence, [0.9, 0.75])


@pytest.mark.parametrize("predictions", [None, b"", b"\n"])
def test_predictions_may_be_gone(predictions):
    assert read(predictions=predictions).confidence is None


def test_no_images_have_no_brightness():
    assert read(histogram=[0] * 32).mean_brightness is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"statistics": b""}, "not JSON"),
        ({"statistics": b"{oops"}, "not JSON"),
        ({"statistics": b"\xff\xfe"}, "not JSON"),
        ({"statistics": b"[" * 100_000}, "not JSON"),
        ({"statistics": b"{}"}, "splits is missing"),
        ({"statistics": b'{"splits": []}'}, "splits: "),
        ({"per_class": ["a"]}, "splits.train.per_class: "),
        ({"per_class": {"bicycle": -1, "motorcycle": 1}}, "splits.train.per_class.bicycle: "),
        ({"per_class": {"bicycle": 1e30, "motorcycle": 1}}, "splits.train.per_class.bicycle: "),
        ({"per_class": {"bicycle": 10**400, "motorcycle": 1}}, "splits.train.per_class.bicycle: "),
        ({"per_class": {"bicycle": float("inf"), "motorcycle": 1}}, "splits.train.per_class.bicycle: "),
        ({"per_class": {"bicycle": True, "motorcycle": 1}}, "splits.train.per_class.bicycle: "),
        ({"histogram": []}, "splits.train.brightness_histogram: "),
        ({"histogram": 7}, "splits.train.brightness_histogram: "),
        ({"histogram": [1, -1]}, "splits.train.brightness_histogram.1: "),
        ({"histogram": [1, None]}, "splits.train.brightness_histogram.1: "),
        ({"histogram": [float("inf"), 1]}, "splits.train.brightness_histogram.0: "),
        ({"histogram": [1] * 1_000_000}, "splits.train.brightness_histogram: "),
    ],
)
def test_other_statistics_are_refused(given, says):
    with pytest.raises(
        BaselineError, match=r"s3://b/statistics.json is not what PrepareData writes: "
    ) as refused:
        read(**given)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("names", [("bicycle",), ("bicycle", "motorcycle", "bus"), ("a", "b")])
def test_statistics_of_other_classes_are_refused(names):
    with pytest.raises(BaselineError, match=r"is of the classes .*, and the model's are bicycle, motorcycle"):
        read(per_class=dict.fromkeys(names, 5))


@pytest.mark.parametrize(
    ("predictions", "says"),
    [
        (b"no JSON", "not JSON"),
        (b"{}\n", "probabilities is missing"),
        (b"[]\n", "object"),
        (b"[" * 100_000, "not JSON"),
        (lines([0.5, 0.25, 0.25]), "3 probabilities for 2 classes"),
        (lines([2, -1]), "probabilities.0: "),
        (lines([float("nan"), 0.5]), "probabilities.0: "),
        (lines([10**400, 0]), "probabilities.0: "),
        (lines([True, False]), "probabilities.0: "),
        (lines("ab"), "probabilities: "),
        (lines(None), "probabilities: "),
        (b"\xff\xfe\n", "not JSON"),
    ],
)
def test_other_predictions_are_refused(predictions, says):
    good = lines([0.5, 0.5])
    with pytest.raises(BaselineError, match=r"s3://b/predictions.jsonl, line 2, is not what Eval") as refused:
        read(predictions=good + predictions)
    assert says in str(refused.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(json_values, json_values, json_values)
def test_whatever_the_files_hold_is_a_baseline_or_an_error(per_class, histogram, probabilities):
    counts = {"bicycle": per_class, "motorcycle": 1}
    for what in ({"per_class": counts}, {"histogram": histogram}, {"predictions": lines(probabilities)}):
        try:
            found = read(**what)
        except BaselineError:
            continue
        assert (found.brightness >= 0).all()
