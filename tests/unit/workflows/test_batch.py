"""Batches, and the state machine that classifies them as a person would check it by reading."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localaws.cloudformation import templates
from workflows import batch, package
from workflows.plan import INFERENCE

ROOT = Path(__file__).parents[3]
TEXT = package.text("batch.asl.json")
MACHINE = json.loads(TEXT)
STATES = MACHINE["States"]
MAP = STATES["ClassifyBatches"]
RESOURCES = templates.parse(package.text(INFERENCE)).resources
TASKS = {
    "BatchClassifier": MAP["ItemProcessor"]["States"]["ClassifyBatch"],
    "BatchResults": STATES["MergeResults"],
}
SOURCES = {
    "BatchClassifier": ("batch_classifier", "serializer", "classifier", "confidence_filter"),
    "BatchResults": ("batch_results",),
}


@given(images=st.integers(0, 2000), size=st.integers(1, batch.MAX_BATCH))
def test_batches_are_even_and_lose_nothing(images, size):
    keys = [str(number) for number in range(images)]
    parts = batch.batches(keys, size)
    assert [key for part in parts for key in part] == keys
    assert len(parts) == -(-images // size)
    sizes = [len(part) for part in parts]
    assert not sizes or (max(sizes) <= size and max(sizes) - min(sizes) <= 1)


@given(images=st.integers(1, 500), size=st.integers(1, batch.MAX_BATCH), tolerated=st.integers(0, 600))
def test_a_map_that_stops_has_more_failures_than_are_tolerated(images, size, tolerated):
    sizes = sorted(len(part) for part in batch.batches(["key"] * images, size))
    batches = tolerated // sizes[0]
    if batches < len(sizes):
        assert sum(sizes[: batches + 1]) > tolerated


def test_every_placeholder_is_filled_in_by_the_template():
    substitutions = RESOURCES["Batch"]["Properties"]["DefinitionSubstitutions"]
    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == set(substitutions)
    for function, task in TASKS.items():
        assert task["Parameters"]["FunctionName"] == f"${{{function}FunctionArn}}"


@pytest.mark.parametrize("function", TASKS)
def test_every_task_has_limits_and_retries(function):
    task, timeout = TASKS[function], RESOURCES[function]["Properties"]["Timeout"]
    assert task["TimeoutSeconds"] > timeout, "the function's own timeout says more"
    assert {"Lambda.TooManyRequestsException", "Lambda.ServiceException"} <= set(
        task["Retry"][0]["ErrorEquals"]
    )
    assert all(retry["JitterStrategy"] == "FULL" for retry in task["Retry"])


def test_attempts_that_time_out_fit_into_an_express_execution():
    task = TASKS["BatchClassifier"]
    attempts = 1 + task["Retry"][1]["MaxAttempts"]
    assert attempts * task["TimeoutSeconds"] < 300


@pytest.mark.parametrize("function", TASKS)
def test_every_error_that_is_named_is_one_that_the_handler_raises(function):
    sources = [(ROOT / "lambdas" / folder / "handler.py").read_text() for folder in SOURCES[function]]
    raised = {
        node.name
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
    }
    rules = TASKS[function]["Retry"] + TASKS[function].get("Catch", [])
    assert {error for rule in rules for error in rule["ErrorEquals"] if "." not in error} <= raised


def test_every_transition_leads_somewhere_and_every_state_is_reached():
    targets = {MACHINE["StartAt"]}
    for state in STATES.values():
        targets |= {state[key] for key in ("Next", "Default") if key in state}
        targets |= {choice["Next"] for choice in state.get("Choices", [])}
        targets |= {catch["Next"] for catch in state.get("Catch", [])}
    assert targets == set(STATES)
