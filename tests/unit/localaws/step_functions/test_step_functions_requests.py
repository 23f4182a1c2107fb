"""Definitions that lead nowhere are refused, and executions get a name."""

import json

import pytest
from moto.core.request import Request
from werkzeug.test import EnvironBuilder

from localaws.errors import AwsError
from localaws.operations import Operation
from localaws.step_functions.requests import dangling, prepared
from localaws.wire import json_body

PASS = {"Type": "Pass", "End": True}


def machine(start, **states):
    return {"StartAt": start, "States": states}


@pytest.mark.parametrize(
    ("definition", "where"),
    [
        (machine("B", A=PASS), "/StartAt"),
        (machine("A", A={"Type": "Pass", "Next": "B"}), "/States/A/Next"),
        (machine("A", A={"Type": "Choice", "Choices": [{"Next": "B"}]}), "/States/A/Choices[0]/Next"),
        (machine("A", A={"Type": "Choice", "Choices": [], "Default": "B"}), "/States/A/Default"),
        (machine("A", A={**PASS, "Catch": [{"Next": "A"}, {"Next": "B"}]}), "/States/A/Catch[1]/Next"),
        (
            machine("A", A={**PASS, "Branches": [machine("B", B=PASS), machine("A", B=PASS)]}),
            "/States/A/Branches[1]/StartAt",
        ),
        (
            machine("A", A={**PASS, "ItemProcessor": machine("B", B={"Type": "Pass", "Next": "A"})}),
            "/States/A/ItemProcessor/States/B/Next",
        ),
        (machine("A", A={**PASS, "Iterator": machine("C", B=PASS)}), "/States/A/Iterator/StartAt"),
    ],
)
def test_a_transition_to_no_state_is_named_with_its_place(definition, where):
    (problem,) = dangling(definition)
    assert problem.startswith("MISSING_TRANSITION_TARGET: ")
    assert problem.endswith(f" at {where}")


def test_a_whole_definition_has_no_problem():
    inner = machine("X", X={"Type": "Pass", "Next": "Y"}, Y=PASS)
    whole = machine(
        "A",
        A={"Type": "Task", "Next": "B", "Catch": [{"ErrorEquals": ["E"], "Next": "C"}]},
        B={"Type": "Parallel", "Branches": [inner, inner], "Next": "C"},
        C={"Type": "Map", "ItemProcessor": inner, "End": True},
    )
    assert list(dangling(whole)) == []


@pytest.mark.parametrize("nonsense", [None, [], {"States": []}, {"States": {"A": None}, "StartAt": "A"}, "x"])
def test_what_is_no_definition_at_all_is_left_to_the_parser(nonsense):
    assert list(dangling(nonsense)) == []


def request(operation: str, body: dict) -> tuple[Request, Operation]:
    made = Request(EnvironBuilder(method="POST", data=json.dumps(body)).get_environ())
    made.get_data()
    return made, Operation("states", operation, changes=True)


@pytest.mark.parametrize("operation", ["CreateStateMachine", "UpdateStateMachine"])
def test_the_refusal_is_step_functions_own_error(operation):
    with pytest.raises(AwsError) as caught:
        prepared(*request(operation, {"definition": json.dumps(machine("B", A=PASS))}))
    assert caught.value.code == "InvalidDefinition"


def test_nameless_executions_get_names_of_their_own():
    names = {json_body(prepared(*request("StartExecution", {})))["name"] for _ in range(3)}
    assert len(names) == 3


def test_a_name_that_is_given_stays():
    body = json_body(prepared(*request("StartExecution", {"name": "n", "input": "{}"})))
    assert body == {"name": "n", "input": "{}"}


def test_input_has_step_functions_limit():
    prepared(*request("StartExecution", {"input": "x" * 262_144}))
    with pytest.raises(AwsError, match="262144"):
        prepared(*request("StartExecution", {"input": "ü" * 131_073}))
