"""EventBridge's rules: one target's trouble is not another's."""

import json

import pytest
from moto.events.models import events_backends

from localaws.events import EventDelivery
from localaws.sagemaker.store import Store
from localaws.stack import Stack

EVENT = {"source": "aws.sagemaker", "detail-type": "State", "detail": {"Name": "x"}, "time": "now"}


@pytest.fixture
def delivery(tmp_path):
    store = Store(tmp_path / "documents.sqlite")
    stack = Stack(tmp_path, 1, store)
    events_backends.reset()
    backend = events_backends[stack.account][stack.region]
    made = EventDelivery(stack)
    yield made, backend
    made.close()
    events_backends.reset()
    store.close()


@pytest.mark.parametrize("order", [("bad", "good"), ("good", "bad")])
def test_a_target_whose_input_is_not_in_the_event_keeps_nothing_from_the_others(delivery, monkeypatch, order):
    made, backend = delivery
    targets = {
        "bad": {
            "Id": "bad",
            "Arn": "arn:aws:sns:us-east-1:123456789012:bad",
            "InputPath": "$.detail.Missing",
        },
        "good": {"Id": "good", "Arn": "arn:aws:sns:us-east-1:123456789012:good"},
    }
    for name in order:
        backend.put_rule(name=name, event_pattern=json.dumps({"source": ["aws.sagemaker"]}), state="ENABLED")
        backend.put_targets(name, None, [targets[name]])
    sent = []
    monkeypatch.setattr(made, "_put", lambda arn, _target, text: sent.append((arn, json.loads(text))))
    made(EVENT)
    made._thread.shutdown(wait=True)
    assert sent == [(targets["good"]["Arn"], EVENT)]
