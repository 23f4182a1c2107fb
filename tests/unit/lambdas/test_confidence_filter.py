from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

PROBABILITY = st.floats(0, 1)


@pytest.fixture(scope="module")
def confidence_filter(load):
    return load("confidence_filter")


@given(inferences=st.lists(PROBABILITY, min_size=1), threshold=PROBABILITY)
def test_it_lets_through_what_reaches_the_threshold(confidence_filter, inferences, threshold):
    event = {"inferences": inferences, "threshold": threshold, "s3_key": "a.png"}
    if max(inferences) >= threshold:
        assert confidence_filter.lambda_handler(event, None) == {"statusCode": 200, "body": event}
    else:
        with pytest.raises(confidence_filter.ThresholdNotMet, match=r"\ATHRESHOLD_CONFIDENCE_NOT_MET\Z"):
            confidence_filter.lambda_handler(event, None)


def test_the_saved_event_passes(confidence_filter, saved_event, context):
    event = saved_event("classified")
    assert confidence_filter.lambda_handler(event, context) == {"statusCode": 200, "body": event["body"]}


@pytest.mark.parametrize(("threshold", "passes"), [("0.9", True), ("0.91", True), ("0.92", False)])
def test_the_threshold_is_configured(confidence_filter, saved_event, monkeypatch, threshold, passes):
    monkeypatch.setenv("THRESHOLD", threshold)
    if passes:
        confidence_filter.lambda_handler(saved_event("classified"), None)
    else:
        with pytest.raises(confidence_filter.ThresholdNotMet):
            confidence_filter.lambda_handler(saved_event("classified"), None)


@pytest.mark.parametrize("threshold", ["", "high", "nan", "-0.1", "1.1", None])
def test_a_threshold_that_is_none_is_named(confidence_filter, saved_event, monkeypatch, threshold):
    monkeypatch.delenv("THRESHOLD")
    if threshold is not None:
        monkeypatch.setenv("THRESHOLD", threshold)
    with pytest.raises(confidence_filter.ConfigurationError, match="THRESHOLD"):
        confidence_filter.lambda_handler(saved_event("classified"), None)


@pytest.mark.parametrize("threshold", [0.4, 0.96, True, "0.8", [0.8], float("nan")])
def test_an_event_cannot_leave_the_bounds(confidence_filter, monkeypatch, threshold):
    monkeypatch.setenv("THRESHOLD_MIN", "0.5")
    monkeypatch.setenv("THRESHOLD_MAX", "0.95")
    with pytest.raises(confidence_filter.InvalidEventError, match=r"0\.5 to 0\.95"):
        confidence_filter.lambda_handler({"inferences": [1.0], "threshold": threshold}, None)


@pytest.mark.parametrize(
    "inferences", [None, [], "0.9", [True], ["0.9"], [float("nan"), 0.9], [1.5], [-1], {"a": 1}, [[0.9]]]
)
def test_what_is_no_list_of_probabilities_is_refused(confidence_filter, inferences):
    with pytest.raises(confidence_filter.InvalidEventError):
        confidence_filter.lambda_handler({"inferences": inferences}, None)


def test_the_log_says_both_numbers(confidence_filter, capsys):
    with pytest.raises(confidence_filter.ThresholdNotMet):
        confidence_filter.lambda_handler({"body": {"inferences": [0.6, 0.4]}, "execution": "e-1"}, None)
    record = json.loads(capsys.readouterr().out)
    assert (record["confidence"], record["threshold"], record["execution"]) == (0.6, 0.8, "e-1")
