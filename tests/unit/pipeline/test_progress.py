"""What a person sees of long work: a moving table in a terminal, a line a change elsewhere."""

import io
import json
from datetime import timedelta

import pytest
from rich.console import Console

from pipeline import console, progress
from pipeline.runs import Execution, StepState

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/scones/execution/abc"


@pytest.fixture
def changes(now):
    later = now + timedelta(seconds=4)

    def execution(status):
        return Execution(ARN, status, now, now)

    running = StepState("TrainModel", "Executing", now, None)
    prepared = StepState("PrepareData", "Succeeded", now, later, cached=True)
    failed = StepState("TrainModel", "Failed", now, later, reason="out of [bold]bicycles")
    return [
        (execution("Executing"), [prepared, running]),
        (execution("Executing"), [prepared, running]),
        (execution("Failed"), [prepared, failed]),
    ]


def terminal(monkeypatch):
    screen = io.StringIO()
    shown = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "console", shown)
    monkeypatch.setattr(console, "console", shown)
    return screen


def test_a_line_a_change(changes, capsys):
    execution, steps = progress.show_execution(iter(changes))
    assert (execution.status, steps[-1].status) == ("Failed", "Failed")
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "PrepareData Succeeded from the cache",
        "TrainModel Executing",
        "TrainModel Failed after 4.0 s: out of [bold]bicycles",
    ]


def test_what_runs_is_told_again_after_a_while(changes, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0)
    running = [step for step in changes[0][1] if not step.ended]
    assert running
    progress.show_execution(iter([changes[0]] * 3))
    lines = [line.split(" ")[1] for line in capsys.readouterr().out.splitlines()]
    assert lines.count(running[0].name) == 3
    assert lines.count("PrepareData") == 1


def test_a_table_in_a_terminal(changes, monkeypatch):
    screen = terminal(monkeypatch)
    execution, _ = progress.show_execution(iter(changes))
    assert execution.status == "Failed"
    assert "out of [bold]bicycles" in screen.getvalue()  # a reason is text, not markup
    assert "from the cache" in screen.getvalue()


def test_waiting(capsys, monkeypatch):
    statuses = ["Creating", "Creating", "InService"]
    with progress.waiting("endpoint e") as status:
        list(map(status, statuses))
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["endpoint e: Creating", "endpoint e: InService"]
    screen = terminal(monkeypatch)
    with progress.waiting("endpoint e") as status:
        list(map(status, statuses))
    assert "InService" in screen.getvalue()


def test_rows_for_each_reader(capsys, now):
    rows = [
        {"name": "a", "share": 1 / 3, "hidden": 1, "time": now},
        {"name": "b", "share": None, "time": None},
    ]
    console.print_rows(rows, ("name", "share"), "nothing")
    assert capsys.readouterr().out == "a\t0.3333\nb\t\n"
    console.print_rows(rows, ("name",), "nothing", as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["time"] == now.isoformat()
    console.print_rows([], ("name",), "nothing")
    assert capsys.readouterr().out == "nothing\n"
