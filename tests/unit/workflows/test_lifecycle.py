"""The bucket's lifecycle: how long people's images are kept at most, and what is never thrown away."""

from __future__ import annotations

from typing import Any

import pytest

from localaws.cloudformation import templates
from workflows import package, plan

BUCKET = templates.parse(package.text(plan.FOUNDATION)).resources["Bucket"]["Properties"]
RULES = BUCKET["LifecycleConfiguration"]["Rules"]
OF_PEOPLE = ("capture", "inference")


def rules_of(key: str) -> list[dict[str, Any]]:
    """Those that a key of the default prefix is under."""
    found = []
    for rule in RULES:
        prefix = rule.get("Prefix", {"Fn::Sub": ""})["Fn::Sub"].replace("${Prefix}", "scones")
        if rule["Status"] == "Enabled" and key.startswith(prefix):
            found.append(rule)
    return found


def shortest(key: str, days: Any) -> int | None:
    """S3 honours the shorter of two that overlap.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html
    """
    return min((found for rule in rules_of(key) if (found := days(rule))), default=None)


def expires(key: str) -> int | None:
    """Days until a delete marker hides the object."""
    return shortest(key, lambda rule: rule.get("ExpirationInDays"))


def noncurrent(key: str) -> int | None:
    """Days until a version that a marker or a newer one hides is deleted."""
    return shortest(key, lambda rule: rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"))


@pytest.mark.parametrize("folder", OF_PEOPLE)
def test_peoples_images_leave_no_version_behind(folder):
    key = f"scones/{folder}/2026/image.png"
    assert (expires(key), noncurrent(key)) == (90, 1)


def test_the_marker_that_is_left_goes_too():
    assert BUCKET["VersioningConfiguration"] == {"Status": "Enabled"}
    for folder in OF_PEOPLE:
        assert any(rule.get("ExpiredObjectDeleteMarker") for rule in rules_of(f"scones/{folder}/x"))


@pytest.mark.parametrize(
    "key",
    [
        "scones/executions/e/TrainModel/model.tar.gz",
        "scones/code/x.zip",
        "scones/captured",
        "other/inference/x",
    ],
)
def test_nothing_else_expires_and_an_older_version_stays_for_a_month(key):
    assert (expires(key), noncurrent(key)) == (None, 30)


def test_a_rule_does_not_expire_markers_and_objects_at_once():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleExpiration.html"""
    assert not any("ExpirationInDays" in rule and "ExpiredObjectDeleteMarker" in rule for rule in RULES)
