"""Least privilege: the roles of the templates against what a recorded run asked for.

`tests/recordings/calls.json` is what each role asked for in a real run on the local AWS (`tests.recorded_run`
makes it, `tests/e2e/test_recorded_run.py` makes it afresh); `documented.toml` is what AWS asks besides.
"""

from __future__ import annotations

import json
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto.iam.access_control import IAMPolicyStatement, PermissionResult

from localaws import policies
from localaws.policies import Decision
from tests import roles
from tests.recorded_run import RECORDING

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it still imports pkg_resources
    import parliament

# By the settings that are turned on; the algorithms exclude each other.
VARIANTS = {
    features: roles.render(*features)
    for features in ((), ("key", "vpc"), ("image-classification",), ("custom",), ("key", "vpc", "custom"))
}
NAMES = sorted(VARIANTS[()])
FOLDER = RECORDING.parent


@dataclass(frozen=True)
class Call:
    action: str
    resource: str
    context: dict[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()

    def is_of(self, features: tuple[str, ...]) -> bool:
        return not self.only or bool(set(self.only) & set(features))


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _needs() -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for line in json.loads(RECORDING.read_text()):
        found.setdefault(line["role"], []).append(Call(line["action"], line["resource"], line["context"]))
    for need in tomllib.loads((FOLDER / "documented.toml").read_text())["need"]:
        assert need["source"].startswith("https://docs.aws.amazon.com/")
        for role in need["roles"]:
            found.setdefault(role, []).extend(
                Call(action, resource, need.get("context", {}), tuple(_many(need.get("only", []))))
                for action in need["actions"]
                for resource in need["resources"]
            )
    return found


NEEDS = _needs()
DENIED = tomllib.loads((FOLDER / "denied.toml").read_text())


def documents(name: str) -> list[dict[str, Any]]:
    """The role's policies in all variants, each once."""
    found = {json.dumps(document): document for made in VARIANTS.values() for document in made[name].policies}
    return list(found.values())


def decide(role: roles.Role, call: Call) -> Decision:
    return policies.decide(role.statements, call.action, call.resource, call.context)


def moto_decides(role: roles.Role, call: Call) -> Decision:
    """moto's own evaluation of actions and resources, of the statements whose conditions hold.

    It takes a condition that does not hold for a denial, so conditions are left to `localaws.policies`.
    """
    decision = Decision.NEITHER
    for statement in role.statements:
        if not policies.applies({**statement, "Action": "*", "Resource": "*"}, "x", "x", call.context):
            continue
        bare = {key: value for key, value in statement.items() if key != "Condition"}
        result = IAMPolicyStatement(bare).is_action_permitted(call.action, call.resource)
        if result == PermissionResult.DENIED:
            return Decision.DENIED
        if result == PermissionResult.PERMITTED:
            decision = Decision.ALLOWED
    return decision


def test_the_recording_is_of_every_role_and_of_no_other():
    assert {line["role"] for line in json.loads(RECORDING.read_text())} == set(NAMES)
    assert set(DENIED) == {"all", *NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_role_asks_for_it_may_and_only_where_the_settings_ask_for_it(name):
    wrong = [
        (features, call)
        for features, made in VARIANTS.items()
        for call in NEEDS[name]
        for evaluate in (decide, moto_decides)
        if (evaluate(made[name], call) == Decision.ALLOWED) != call.is_of(features)
    ]
    assert wrong == []


def test_every_need_is_of_a_setting_that_there_is():
    assert {only for calls in NEEDS.values() for call in calls for only in call.only} == set(roles.FEATURES)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_role_must_not_do_it_may_not(name):
    calls = [
        Call(action, resource, {"iam:PassedToService": "sagemaker.amazonaws.com"})
        for part in ("all", name)
        for action, resources in DENIED[part].items()
        for resource in resources
    ]
    for made in VARIANTS.values():
        for evaluate in (decide, moto_decides):
            assert [call for call in calls if evaluate(made[name], call) == Decision.ALLOWED] == []


@pytest.mark.parametrize(
    ("name", "role"),
    [(name, call.resource) for name in NAMES for call in NEEDS[name] if call.action == "iam:PassRole"],
)
def test_roles_are_handed_to_the_service_that_they_are_for_only(name, role):
    for service in ("ec2.amazonaws.com", "lambda.amazonaws.com"):
        call = Call("iam:PassRole", role, {"iam:PassedToService": service})
        for made in VARIANTS.values():
            assert decide(made[name], call) == Decision.NEITHER


@pytest.mark.parametrize("name", NAMES)
def test_no_statement_no_action_no_resource_and_no_condition_is_unused(name):
    unused = [
        f"{features}, {statement['Sid']}: {element} {value}"
        for features, made in VARIANTS.items()
        for statement in made[name].statements
        for element, value, part in _parts(statement)
        if not any(
            policies.applies(part, call.action, call.resource, call.context)
            for call in NEEDS[name]
            if call.is_of(features)
        )
    ]
    assert unused == []


def _parts(statement: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A statement taken to pieces: each with one of its actions, resources or condition values only."""
    for element in ("Action", "Resource"):
        for value in _many(statement[element]):
            yield element, value, {**statement, element: value}
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            for value in _many(values):
                yield key, value, {**statement, "Condition": {operator: {key: value}}}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_allowed_by_a_wildcard_that_could_be_named(name):
    for statement in (each for document in documents(name) for each in document["Statement"]):
        assert statement["Effect"] == "Allow"
        assert not {"NotAction", "NotResource"} & set(statement)
        for action in _many(statement["Action"]):
            assert "*" not in action
            if "*" in _many(statement["Resource"]):
                assert _required_resources(action) == [], f"{action} can name its resource"


def _required_resources(action: str) -> list[str]:
    """The types of resources that AWS's table says an action must be allowed on."""
    prefix, _, operation = action.partition(":")
    (found,) = (
        privilege
        for service in parliament.iam_definition
        if service["prefix"] == prefix
        for privilege in service["privileges"]
        if privilege["privilege"] == operation
    )
    return [kind["resource_type"] for kind in found["resource_types"] if kind["resource_type"].endswith("*")]


# IAM asks about an execution or a map run, whichever the request names; parliament wants both allowed.
EITHER_OF_TWO = {"states:DescribeExecution", "states:ListExecutions"}


@pytest.mark.parametrize("name", NAMES)
def test_parliament_is_clean(name):
    for document in documents(name):
        findings = parliament.analyze_policy_string(json.dumps(document)).findings
        assert [
            str(finding)
            for finding in findings
            if finding.issue != "RESOURCE_MISMATCH"
            or {each["action"] for each in finding.detail} - EITHER_OF_TWO
        ] == []


SERVICES = {
    "lambda.amazonaws.com": {
        "scones-serializer",
        "scones-classifier",
        "scones-confidence-filter",
        "scones-batch-classifier",
        "scones-batch-results",
        "scones-deployer",
    },
    "events.amazonaws.com": {"scones-events"},
    "sagemaker.amazonaws.com": {"scones-pipeline", "scones-processing", "scones-training", "scones-model"},
}


@pytest.mark.parametrize("name", NAMES)
def test_who_may_take_a_role_on(name):
    assert {json.dumps(made[name].trust) for made in VARIANTS.values()} == {
        json.dumps(VARIANTS[()][name].trust)
    }
    statements = VARIANTS[()][name].trust["Statement"]
    if name == "scones-monitor":  # people's and the main branch's
        assert [each["Action"] for each in statements] == ["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"]
    else:
        assert len(statements) == 1
    for statement in statements:
        _check_trust(name, statement)


def _check_trust(name: str, statement: dict[str, Any]) -> None:
    principal = statement["Principal"]
    if statement["Action"] == "sts:AssumeRoleWithWebIdentity":
        assert name in ("scones-github", "scones-monitor")
        assert statement["Condition"] == {
            "StringEquals": {
                "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                "token.actions.githubusercontent.com:sub": "repo:owner/name:ref:refs/heads/main",
            }
        }
    elif name in ("scones-operator", "scones-monitor"):
        assert principal == {"AWS": f"arn:aws:iam::{roles.ACCOUNT}:root"}
    else:
        service = next((key for key, names in SERVICES.items() if name in names), "states.amazonaws.com")
        assert principal == {"Service": service}
        if service != "lambda.amazonaws.com":  # which sends no account: a function's role is its own
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": roles.ACCOUNT}}
