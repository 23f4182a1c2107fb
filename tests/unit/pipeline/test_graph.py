"""A pipeline's definition as a graph, and an execution's steps on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.graph import graph
from pipeline.runs import StepState
from workflows.graph.model import Status

START = datetime(2026, 1, 1, tzinfo=UTC)


def step(name: str, kind: str = "Processing", needs: str = "", **more: Any) -> dict[str, Any]:
    arguments = {"Input": {"Get": f"Steps.{needs}.Output"}} if needs else {}
    return {"Name": name, "Type": kind, "Arguments": arguments, **more}


def gate(name: str, left: Any, yes: list[dict[str, Any]], no: list[dict[str, Any]]) -> dict[str, Any]:
    condition = {"Type": "GreaterThanOrEqualTo", "LeftValue": left, "RightValue": {"Get": "Parameters.Least"}}
    return {
        "Name": name,
        "Type": "Condition",
        "Arguments": {"Conditions": [condition], "IfSteps": yes, "ElseSteps": no},
    }


ACCURACY = {
    "Std:JsonGet": {"PropertyFile": {"Get": "Steps.Judge.PropertyFiles.P"}, "Path": "m.accuracy.value"}
}
LESS = {"Type": "LessThan", "LeftValue": 1, "RightValue": 2}
DEFINITION = {
    "Steps": [
        step("Read"),
        step("Fit", "Training", needs="Read"),
        {**step("Judge", needs="Fit"), "DependsOn": ["Read"]},
        gate(
            "Gate", ACCURACY, [step("Keep", needs="Fit"), step("Tell", needs="Keep")], [step("Low", "Fail")]
        ),
    ]
}


def arrows(definition: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(edge.source, edge.target): edge.label for edge in graph(definition).edges}


def test_arrows_are_dependencies_without_the_implied_ones() -> None:
    assert arrows(DEFINITION) == {
        ("Read", "Fit"): "",
        ("Fit", "Judge"): "",
        ("Judge", "Gate"): "",
        ("Gate", "Keep"): "accuracy.value ≥ Least",
        ("Keep", "Tell"): "",
        ("Gate", "Low"): "otherwise",
    }


def test_an_execution_colours_its_steps_and_the_ways_it_took() -> None:
    def state(name: str, status: str, **more: Any) -> StepState:
        return StepState(name, status, START, START + timedelta(seconds=75), **more)

    states = [
        state("Read", "Succeeded", cached=True),
        state("Fit", "Succeeded"),
        state("Judge", "Failed", reason="no model"),
    ]
    drawn = graph(DEFINITION, states)
    nodes = {node.id: node for node in drawn.nodes}
    assert nodes["Read"].caption == "Processing · cached"
    assert nodes["Fit"].caption == "Training · 1 min 15 s"
    assert nodes["Judge"].tooltip.endswith("no model")
    assert [nodes[name].status for name in ("Fit", "Judge", "Gate")] == [
        Status.SUCCEEDED,
        Status.FAILED,
        Status.NOT_REACHED,
    ]
    assert {(edge.target, edge.taken) for edge in drawn.edges if edge.taken} == {
        ("Fit", Status.SUCCEEDED),
        ("Judge", Status.FAILED),
    }


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ({"Type": "Not", "Expression": {"Type": "Equals", "LeftValue": 1, "RightValue": "a"}}, "not (1 = a)"),
        ({"Type": "In", "QueryValue": {"Get": "Parameters.X"}, "Values": ["a", "b"]}, "X in a, b"),
        ({"Type": "Or", "Conditions": [LESS, LESS]}, "1 < 2 or 1 < 2"),
    ],
)  # fmt: skip
def test_a_condition_is_told_in_signs(condition: dict[str, Any], text: str) -> None:
    one = gate("Gate", 1, [step("Keep")], [])
    one["Arguments"]["Conditions"] = [condition]
    assert arrows({"Steps": [one]}) == {("Gate", "Keep"): text}


def test_the_command_draws_the_definition_without_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    result = CliRunner().invoke(app, ["pipeline", "graph"])
    assert result.exit_code == 0, result.output
    names = {g.get("data-id") for g in ElementTree.fromstring(result.stdout).iter() if g.get("data-id")}
    assert {"PrepareData", "TrainModel", "EvaluateModel", "CheckAccuracy", "RegisterModel"} <= names
