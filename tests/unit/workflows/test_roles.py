from __future__ import annotations

import json

from workflows.plan import WorkflowPlan
from workflows.roles import function_policy, state_machine_policy, trust

PLAN = WorkflowPlan("bucket", "scones", "Endpoint-1", 0.8, "123456789012", "us-east-1")
SERIALIZER, CLASSIFIER, FILTER = PLAN.functions


def statements(document):
    return {statement["Sid"]: statement for statement in document["Statement"]}


def test_no_action_and_no_resource_is_a_wildcard():
    documents = [function_policy(PLAN, function) for function in PLAN.functions] + [
        state_machine_policy(PLAN)
    ]
    for statement in (statement for document in documents for statement in document["Statement"]):
        assert not any("*" in action for action in statement["Action"])
        assert statement["Resource"] != "*"


def test_each_function_may_do_what_it_does_and_no_more():
    assert set(statements(function_policy(PLAN, SERIALIZER))) == {
        "WriteItsLogs",
        "ReadImages",
        "TellMissingFromForbidden",
    }
    assert "AskTheEndpoint" in statements(function_policy(PLAN, CLASSIFIER))
    assert set(statements(function_policy(PLAN, FILTER))) == {"WriteItsLogs"}


def test_images_are_read_below_the_prefix_only():
    resource = statements(function_policy(PLAN, SERIALIZER))["ReadImages"]["Resource"]
    assert resource == "arn:aws:s3:::bucket/scones/inference/*"


def test_an_endpoint_is_named_in_lower_case_as_its_arn_is():
    resource = statements(function_policy(PLAN, CLASSIFIER))["AskTheEndpoint"]["Resource"]
    assert resource == "arn:aws:sagemaker:us-east-1:123456789012:endpoint/endpoint-1"


def test_a_state_machine_of_another_account_cannot_take_the_role_on():
    assert "123456789012" in json.dumps(trust(PLAN, "states"))
