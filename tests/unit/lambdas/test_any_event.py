"""Whatever an event holds, a handler answers by the contract or raises an error with a name of its own."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = {
    "image_data": st.text() | st.just("iVBORw0KGgo=") | ANYTHING,
    "s3_bucket": st.just("scones-images") | st.text() | ANYTHING,
    "s3_key": st.text().map("scones/inference/".__add__) | st.text() | ANYTHING,
    "inferences": st.lists(st.floats() | st.booleans()) | ANYTHING,
    "threshold": st.floats() | ANYTHING,
    "execution": ANYTHING,
}
NEARLY = st.fixed_dictionaries({}, optional=FIELDS)
WRAPPED = st.builds(lambda body: {"body": body}, NEARLY | NEARLY.map(json.dumps) | st.text() | ANYTHING)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("serializer", "SerializerError"),
        ("classifier", "ClassifierError"),
        ("confidence_filter", "FilterError"),
    ],
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=ANYTHING | NEARLY | WRAPPED)
def test_no_event_ends_in_an_unnamed_error(load, monkeypatch, name, base, event):
    monkeypatch.delenv("ENDPOINT_NAME", raising=False)  # no image gets as far as a request
    handler = HANDLERS.setdefault(name, load(name))
    try:
        answer = handler.lambda_handler(event, None)
    except getattr(handler, base):
        return
    assert answer["statusCode"] == 200
    assert isinstance(answer["body"], dict)


HANDLERS: dict = {}
