"""The state machine's definition, without anybody to interpret it: what a person would check by reading."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from lambdas.classifier import handler as classifier
from localaws.cloudformation import templates
from workflows import package
from workflows.plan import INFERENCE

ROOT = Path(__file__).parents[3]
TEXT = package.text("inference.asl.json")
MACHINE = json.loads(TEXT)
STATES = MACHINE["States"]
RESOURCES = templates.parse(package.text(INFERENCE)).resources
TASKS = {
    name: state
    for name, state in STATES.items()
    if state["Type"] == "Task" and state["Resource"].endswith("lambda:invoke")
}
FOLDERS = {
    "SerializeImage": "serializer",
    "ClassifyImage": "classifier",
    "FilterByConfidence": "confidence_filter",
}


FUNCTIONS = {
    "SerializeImage": "Serializer",
    "ClassifyImage": "Classifier",
    "FilterByConfidence": "ConfidenceFilter",
}


def test_every_placeholder_is_filled_in_by_the_template():
    substitutions = RESOURCES["Inference"]["Properties"]["DefinitionSubstitutions"]
    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) <= set(substitutions)
    for state, function in FUNCTIONS.items():
        assert TASKS[state]["Parameters"]["FunctionName"] == f"${{{function}FunctionArn}}"
        assert substitutions[f"{function}FunctionArn"] == {"Fn::GetAtt": [function, "Arn"]}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_limits_retries_and_catches(name):
    task = TASKS[name]
    timeout = RESOURCES[FUNCTIONS[name]]["Properties"]["Timeout"]
    assert task["TimeoutSeconds"] > timeout, "the function's own timeout says more"
    assert task["Catch"]
    assert {"Lambda.TooManyRequestsException", "Lambda.ServiceException"} <= set(
        task["Retry"][0]["ErrorEquals"]
    )
    assert all(retry["JitterStrategy"] == "FULL" for retry in task["Retry"])


def test_an_image_may_take_what_its_calls_may():
    assert RESOURCES["Classifier"]["Properties"]["Timeout"] > 2 * classifier.CALL_SECONDS


def test_the_machine_outlasts_its_tasks():
    assert MACHINE["TimeoutSeconds"] > sum(task["TimeoutSeconds"] for task in TASKS.values())


@pytest.mark.parametrize("name", TASKS)
def test_every_error_that_is_named_is_one_that_the_handler_raises(name):
    source = (ROOT / "lambdas" / FOLDERS[name] / "handler.py").read_text()
    raised = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)}
    named = {
        error
        for rule in TASKS[name]["Retry"] + TASKS[name]["Catch"]
        for error in rule["ErrorEquals"]
        if "." not in error
    }
    assert named <= raised


def test_every_transition_leads_somewhere_and_every_state_is_reached():
    targets = {"SerializeImage"}
    for state in STATES.values():
        targets |= {state[key] for key in ("Next", "Default") if key in state}
        targets |= {choice["Next"] for choice in state.get("Choices", [])}
        targets |= {catch["Next"] for catch in state.get("Catch", [])}
    assert targets == set(STATES)
