"""What `scones workflow batch` makes of its options and of a result."""

import json

import pytest

from pipeline import cost, progress
from pipeline.commands import batch as command
from workflows.batch import BatchResult


@pytest.mark.parametrize(
    ("text", "images", "expected"),
    [("0", 10, 0), ("12", 10, 12), ("5%", 1000, 50), ("2.5%", 50, 1), ("100%", 7, 7)],
)
def test_tolerated_failures(text, images, expected):
    assert command.tolerated(text, images) == expected


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "101%", "-1%", "%", "nan%", "²"])
def test_a_tolerance_that_is_none(text):
    with pytest.raises(command.ToleranceError, match="a number such as 12 or a percentage such as 5%"):
        command.tolerated(text, 100)


def result(*outcomes, **fields):
    lines = [{"s3_key": str(place), "outcome": outcome} for place, outcome in enumerate(outcomes)]
    known = {"name": "x", "status": "SUCCEEDED", "error": None, "cause": None, "seconds": 2.0}
    return BatchResult(**known | {"results": lines, "results_uri": "s3://b/results.jsonl"} | fields)


def test_results_are_counted_by_outcome():
    found = result("ThresholdNotMet", "ImageClassified", "ImageRefused", "ImageClassified")
    assert next(iter(found.outcomes.items())) == ("ImageClassified", 2)
    assert found.failed == 1


def test_the_summary_has_outcomes_rate_and_cost(capsys):
    command._show(result("ImageClassified", "ImageRefused"), 50, None, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["ImageClassified\t1\t50.0%", "ImageRefused\t1\t50.0%"]
    dollars = cost.dollars(cost.total(cost.in_batches(cost.prices(), 2, 50)))
    assert lines[2].startswith(f"2 images in 2.0 s, 1 a second; on AWS about {dollars} beside")
    assert lines[3] == "results: s3://b/results.jsonl"


def test_a_run_without_results_is_shown(capsys):
    nothing = result(status="FAILED", error="ManifestUnreadable", results_uri=None)
    command._show(nothing, 50, None, as_json=True)
    assert json.loads(capsys.readouterr().out)["error"] == "ManifestUnreadable"
    command._show(nothing, 50, None, as_json=False)
    assert capsys.readouterr().out == "there are no results\n"


def test_results_replace_a_file_whole(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    command._write(out, result("ImageClassified"))
    assert json.loads(out.read_text())["outcome"] == "ImageClassified"
    assert list(tmp_path.iterdir()) == [out]


def test_a_count_is_a_line_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    with progress.counting("run", "images", 1000) as note:
        note(0)
        note(500)
        note(1000)
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == "run: 0 of 1,000 images"
    assert lines[1].startswith("run: 500 of 1,000 images, ")
    assert lines[1].endswith(" left")
    assert lines[-1].endswith(" a second, in 0 s")


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (59.6, "1:00"), (185, "3:05"), (3723, "1:02:03")])
def test_a_clock(seconds, said):
    assert progress.clock(seconds) == said
