"""The state machine's definition, without anybody to interpret it: what a person would check by reading."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from workflows.deploy import definition
from workflows.plan import WorkflowPlan

ROOT = Path(__file__).parents[3]
PLAN = WorkflowPlan("bucket", "scones", "Endpoint-1", 0.8, "123456789012", "us-east-1")
ARNS = {function.name: PLAN.function_arn(function) for function in PLAN.functions}
STATES = json.loads(definition(PLAN, ARNS))["States"]
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
FOLDERS = {
    "SerializeImage": "serializer",
    "ClassifyImage": "classifier",
    "FilterByConfidence": "confidence_filter",
}


def test_every_arn_is_filled_in():
    text = definition(PLAN, ARNS)
    assert "${" not in text
    assert [state["Parameters"]["FunctionName"] for state in TASKS.values()] == list(ARNS.values())


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_limits_retries_and_catches(name):
    task = TASKS[name]
    function = PLAN.functions[list(FOLDERS).index(name)]
    assert task["TimeoutSeconds"] > function.timeout, "the function's own timeout says more"
    assert task["Catch"]
    assert {"Lambda.TooManyRequestsException", "Lambda.ServiceException"} <= set(
        task["Retry"][0]["ErrorEquals"]
    )
    assert all(retry["JitterStrategy"] == "FULL" for retry in task["Retry"])


def test_the_machine_outlasts_its_tasks():
    assert json.loads(definition(PLAN, ARNS))["TimeoutSeconds"] > sum(
        task["TimeoutSeconds"] for task in TASKS.values()
    )


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
        targets |= {state[key] for key in ("Next",) if key in state}
        targets |= {catch["Next"] for catch in state.get("Catch", [])}
    assert targets == set(STATES)
