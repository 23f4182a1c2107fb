"""Drawing state machines: the layout's promises, for whatever definition there is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.cli import app
from workflows import package
from workflows.graph import asl
from workflows.graph.layout import Box, Layout, layout, settle
from workflows.graph.measure import label_lines, name_lines
from workflows.graph.model import Drawing
from workflows.graph.svg import svg

ROOT = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"
NAMES = st.text(min_size=1, max_size=80)


def document(definition: dict[str, Any]) -> ElementTree.Element:
    return ElementTree.fromstring(svg(Drawing("a <title> & more", "", asl.graph(definition))))


def drawn_ids(root: ElementTree.Element) -> list[str]:
    return [g.get("data-id", "") for g in root.iter(f"{SVG}g") if g.get("class") == "node"]


@st.composite
def machines(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    """Valid definitions, with every type of state; a state is named anything, and may lead anywhere."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    target = st.sampled_from(names)
    states = {}
    for name in names:
        kinds = ["Task", "Pass", "Wait", "Choice", "Succeed", "Fail"] + ["Parallel", "Map"] * (depth > 0)
        kind = draw(st.sampled_from(kinds))
        state: dict[str, Any] = {"Type": kind}
        if kind == "Choice":
            rules = st.lists(
                st.builds(
                    lambda value, then: {"Variable": "$.a", "StringEquals": value, "Next": then},
                    NAMES,
                    target,
                ),
                min_size=1,
                max_size=3,
            )
            state |= {"Choices": draw(rules), "Default": draw(target)}
        elif kind not in ("Succeed", "Fail"):
            state |= draw(st.one_of(st.just({"End": True}), st.builds(lambda then: {"Next": then}, target)))
        if kind in ("Task", "Parallel", "Map"):
            caught = st.lists(
                st.builds(lambda then: {"ErrorEquals": ["States.ALL"], "Next": then}, target), max_size=2
            )
            state["Catch"] = draw(caught)
        if kind == "Parallel":
            state["Branches"] = draw(st.lists(machines(depth - 1), min_size=1, max_size=2))
        if kind == "Map":
            state["ItemProcessor"] = draw(machines(depth - 1))
        states[name] = state
    return {"StartAt": draw(target), "States": states}


def paths(machine: dict[str, Any], path: str = "") -> Iterator[str]:
    yield f"{path}#start"
    if any(state.get("End") for state in machine["States"].values()):
        yield f"{path}#end"
    for name, state in machine["States"].items():
        yield path + name
        inner = state.get("Branches", [state["ItemProcessor"]] if "ItemProcessor" in state else [])
        for index, part in enumerate(inner):
            yield from paths(part, f"{path}{name}/{index}/")


def every_layout(placed: Layout) -> Iterator[tuple[Layout, Box | None]]:
    yield placed, None
    for box in placed.boxes:
        for inner in box.inner:
            for found, around in every_layout(inner):
                yield found, around or box


@given(machines())
@settings(max_examples=25)
def test_any_machine_is_drawn_with_each_state_once(machine: dict[str, Any]) -> None:
    assert len(drawn_ids(document(machine))) == len(list(paths(machine)))


@given(machines())
@settings(max_examples=25)
def test_nothing_overlaps_or_is_cut_off(machine: dict[str, Any]) -> None:
    whole = layout(asl.graph(machine))
    for placed, around in every_layout(whole):
        boxes = placed.boxes
        for index, a in enumerate(boxes):
            assert a.x >= -0.01
            assert a.x + a.width <= whole.width + 0.01
            assert a.y + a.height <= whole.height + 0.01
            if around:
                assert around.x < a.x
                assert a.x + a.width < around.x + around.width
                assert a.y + a.height < around.y + around.height
            for b in boxes[index + 1 :]:
                apart = a.x + a.width < b.x or b.x + b.width < a.x
                assert apart or a.y + a.height < b.y or b.y + b.height < a.y


@given(machines())
@settings(max_examples=25)
def test_every_edge_leads_from_its_source_to_its_target(machine: dict[str, Any]) -> None:
    for placed, _ in every_layout(layout(asl.graph(machine))):
        boxes = {box.node.id: box for box in placed.boxes}
        for line in placed.lines:
            for (x, y), name in ((line.points[0], line.edge.source), (line.points[-1], line.edge.target)):
                box = boxes[name]
                assert box.x - 0.01 <= x <= box.x + box.width + 0.01
                assert box.y - 0.01 <= y <= box.y + box.height + 0.01


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0.5, 50), st.floats(0, 100)), min_size=1))
def test_what_is_settled_keeps_its_gaps_and_stays_where_it_may(row: list[tuple[float, ...]]) -> None:
    wanted, weights, gaps = [w for w, _, _ in row], [w for _, w, _ in row], [g for _, _, g in row][1:]
    placed = settle(wanted, weights, gaps)
    for left, right, gap in zip(placed, placed[1:], gaps, strict=False):
        assert right - left >= gap - 1e-6
    assert settle(placed, weights, gaps) == pytest.approx(placed)


def test_markup_in_names_is_text() -> None:
    name = '<b onload="x">&\'\x00'
    root = document({"StartAt": name, "States": {name: {"Type": "Succeed"}}})
    assert [text.text for text in root.iter(f"{SVG}text") if "name" in text.get("class", "").split()] == [
        '<b onload="x">&\'\ufffd'
    ]
    assert not list(root.iter(f"{SVG}b"))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"Variable": "$.a", "StringEquals": "on", "Next": "x"}, "$.a = on"),
        ({"Variable": "$.a", "NumericGreaterThanEquals": 3, "Next": "x"}, "$.a ≥ 3"),
        ({"Variable": "$.a", "NumericLessThanPath": "$.b", "Next": "x"}, "$.a < $.b"),
        ({"Variable": "$.a", "IsPresent": False}, "$.a is not present"),
        ({"Not": {"Variable": "$.a", "BooleanEquals": True}, "Next": "x"}, "not ($.a = true)"),
        ({"And": [{"Variable": "$.a", "IsNull": True}, {"Variable": "$.b", "StringMatches": "x*"}]},
         "$.a is null and $.b matches x*"),
        ({"Condition": "{% $a > 3 %}", "Next": "x"}, "$a > 3"),
    ],
)  # fmt: skip
def test_a_choice_rule_is_an_expression(rule: dict[str, Any], text: str) -> None:
    assert asl.condition(rule) == text


def test_a_long_name_is_broken_between_its_words_and_a_long_label_is_cut() -> None:
    assert name_lines("ClassifyTheImageThatIsTooLargeToTravel") == (
        "ClassifyTheImageThatIsToo",
        "LargeToTravel",
    )
    assert "".join(name_lines("x" * 80)) == "x" * 80
    assert label_lines("word " * 40)[-1].endswith("…")


@pytest.mark.parametrize("machine", package.machines())
def test_each_machine_of_the_package_is_drawn(machine: str) -> None:
    definition = json.loads(package.text(f"{machine}.asl.json"))
    drawn = Counter(drawn_ids(document(definition)))
    assert drawn == Counter(paths(definition))


def test_the_picture_in_the_documents_is_what_the_command_draws() -> None:
    result = CliRunner().invoke(app, ["workflow", "graph"])
    assert result.stdout == (ROOT / "docs" / "inference-workflow.svg").read_text(encoding="utf-8"), (
        "run `scones workflow graph --out docs/inference-workflow.svg`"
    )


def test_a_machine_that_is_none_is_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["workflow", "graph", "--machine", "nothing"])
    assert result.exit_code == 2
    assert "is none of" in result.output


def test_a_drawing_for_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["workflow", "graph", "--out", str(tmp_path / "no" / "a.svg")])
    assert result.exit_code == 2
    assert "there is no folder" in result.output
