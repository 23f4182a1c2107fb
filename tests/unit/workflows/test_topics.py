"""Who may publish to the topics: services of this account, in the form that each of them understands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from localaws.cloudformation import templates
from tests import roles
from workflows import package

EVENTS, ALARMS = "events.amazonaws.com", "cloudwatch.amazonaws.com"


def resources(kind: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each resource of the kind in any template, with all those of its template."""
    for name in roles.TEMPLATES:
        there = templates.parse(package.text(name)).resources
        yield from ((found, there) for found in there.values() if found["Type"] == kind)


def allowed() -> dict[str, list[dict[str, Any]]]:
    """The statements that allow something on a topic, by the one service that each of them is for."""
    found: dict[str, list[dict[str, Any]]] = {}
    for policy, _ in resources("AWS::SNS::TopicPolicy"):
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                assert isinstance(statement["Principal"]["Service"], str), statement
                found.setdefault(statement["Principal"]["Service"], []).append(statement)
    return found


def test_a_statement_for_eventbridge_has_no_condition():
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sns-permissions"""
    (statement,) = allowed()[EVENTS]
    assert set(statement) == {"Sid", "Effect", "Principal", "Action", "Resource"}
    assert statement["Action"] == "sns:Publish"


def test_alarms_publish_for_this_account_only():
    """https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html"""
    (statement,) = allowed()[ALARMS]
    assert statement["Action"] == "sns:Publish"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_nobody_else_is_named():
    assert set(allowed()) == {EVENTS, ALARMS}


def targets() -> list[tuple[str, dict[str, Any]]]:
    """The rules' targets that are topics of the same template, each with its topic's logical id."""
    return [
        (target["Arn"]["Ref"], target)
        for rule, there in resources("AWS::Events::Rule")
        for target in rule["Properties"]["Targets"]
        if there.get(target.get("Arn", {}).get("Ref"), {}).get("Type") == "AWS::SNS::Topic"
    ]


@pytest.mark.parametrize(("topic", "target"), targets())
def test_a_rules_topic_lets_eventbridge_in_by_its_policy_alone(topic, target):
    assert "RoleArn" not in target
    assert {"Ref": topic} in [statement["Resource"] for statement in allowed()[EVENTS]]


def test_there_is_such_a_target():
    assert targets()
