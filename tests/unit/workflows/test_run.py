from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.run import InferenceResult, _highest, execution_name


@given(key=st.text())
def test_an_execution_can_always_be_named(key):
    name = execution_name(key)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name)
    assert name != execution_name(key)


def test_a_name_says_which_image_it_is_for():
    assert execution_name("scones/inference/bike s 01.png").startswith("bike-s-01-")


@pytest.mark.parametrize(
    ("inferences", "expected"),
    [([], (None, None)), ([0.2, 0.8], ("b", 0.8)), ([0.5, 0.5], ("a", 0.5)), ([0, 0, 1], ("class 2", 1))],
)
def test_the_prediction_is_the_most_probable_class(inferences, expected):
    assert _highest(inferences, ["a", "b"]) == expected


@pytest.mark.parametrize(
    ("status", "outcome", "failed"),
    [
        ("SUCCEEDED", "ImageClassified", False),
        ("RUNNING", "WaitForReview", False),
        ("FAILED", "ThresholdNotMet", False),
        ("FAILED", "ReviewRejected", False),
        ("FAILED", "EndpointNotFound", True),
        ("TIMED_OUT", "TIMED_OUT", True),
        ("ABORTED", "ABORTED", True),
    ],
)
def test_what_came_to_no_answer(status, outcome, failed):
    assert InferenceResult("k", status, None, None, outcome).failed == failed
