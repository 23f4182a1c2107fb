"""The batch classifier's time: an image that is begun ends within it, whatever timeouts it runs into."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.retries.standard import ExponentialBackoff
from botocore.retryhandler import delay_exponential

from lambdas.batch_classifier import handler
from localaws.cloudformation import templates
from workflows import package, plan

SERVICES = ("s3", "sagemaker-runtime")
FUNCTION = templates.parse(package.text(plan.INFERENCE)).resources["BatchClassifier"]["Properties"]
# What is left for images to be begun in: a hundred, eight at a time, of which each takes four seconds.
BEGINNING_SECONDS = 100 / 8 * 4


@pytest.fixture
def config(aws: Any, request: pytest.FixtureRequest) -> Any:
    """The settings of the very client that the function uses."""
    handler.classifier._client.cache_clear()
    yield handler.classifier._client(request.param).meta.config
    handler.classifier._client.cache_clear()


def longest_pause(attempt: int) -> float:
    """What botocore waits at most before it tries again, in either of its modes."""
    asking = SimpleNamespace(
        attempt_number=attempt, http_response=SimpleNamespace(headers={"x-amz-retry-after": "3600000"})
    )
    throttled = SimpleNamespace(is_throttling_error_from_context=lambda _: True)
    standard = ExponentialBackoff(random=lambda: 1.0, throttling_detector=throttled).delay_amount(asking)
    return max(standard, delay_exponential(1, 2, attempt))


@pytest.mark.parametrize("config", SERVICES, indirect=True)
def test_a_call_takes_no_longer_than_it_says(config):
    attempts = config.retries["total_max_attempts"]
    pauses = sum(longest_pause(attempt) for attempt in range(1, attempts))
    worst = attempts * (config.connect_timeout + config.read_timeout) + pauses
    worst += config.read_timeout  # the answer's body, which is read apart from the call
    assert worst == handler.classifier.CALL_SECONDS


def test_an_image_asks_each_of_the_two_once_and_there_is_time_for_both():
    assert len(SERVICES) * handler.classifier.CALL_SECONDS < handler.LAST_SECONDS


def test_the_functions_time_is_for_beginning_images_and_for_the_last_of_them():
    assert FUNCTION["Timeout"] >= handler.LAST_SECONDS + BEGINNING_SECONDS


def test_another_round_is_begun_only_if_its_images_would_be():
    assert FUNCTION["Timeout"] > handler.LAST_SECONDS + sum(handler.PAUSES)
