"""Paths, expressions and conditions, also on wild input."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localaws.sagemaker.engine import paths
from localaws.sagemaker.engine.conditions import all_hold, holds
from localaws.sagemaker.engine.expressions import ExpressionError, evaluate, steps_named_in
from localaws.sagemaker.engine.paths import PathError


@dataclass
class Scope:
    parameters: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, Any] = field(default_factory=dict)

    def parameter(self, name):
        return self.parameters[name]

    def execution_variable(self, name):
        return f"<{name}>"

    def step_properties(self, step):
        return self.steps[step]

    def property_file(self, step, name):
        return self.steps[step][name]

    def json_file(self, uri):
        return {"uri": uri}


DOCUMENT = {
    "Outputs": [{"OutputName": "a", "Uri": "s3://a"}, {"OutputName": "b.c", "Uri": "s3://b"}],
    "Map": {"key": [1, {"deep": 2}], "with.dot": 3, "it's": 4},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Outputs['a'].Uri", "s3://a"),
        ('Outputs["b.c"].Uri', "s3://b"),
        ("Outputs[1].OutputName", "b.c"),
        ("Map.key[1].deep", 2),
        ("Map['with.dot']", 3),
        ('Map["it\'s"]', 4),
        ("$.Map.key[0]", 1),
        ("['Map']['key'][0]", 1),
    ],
)
def test_paths_lead_to_values(text, value):
    assert paths.look_up(DOCUMENT, paths.parse(text)) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Outputs['z'].Uri", "nothing at 'Outputs.z'; there are 2 items: a, b.c."),
        ("Outputs[2]", "nothing at 'Outputs[2]'; there are 2 items"),
        ("Map.other", "nothing at 'Map.other'; there is: key, with.dot, it's."),
        ("Map.key[0].deep", "nothing at 'Map.key[0].deep'; there is a int."),
        ("", "An empty path"),
        ("a..b", "character 2"),
        ("a[b]", "character 2"),
        (".a", "character 1"),
        ("a.", "character 2"),
    ],
)
def test_paths_that_lead_nowhere_say_how_far(text, words):
    with pytest.raises(PathError) as caught:
        paths.look_up(DOCUMENT, paths.parse(text))
    assert words in str(caught.value)


NAMES = st.text(st.characters(exclude_characters=".[]'\""), min_size=1).filter(
    lambda name: not name.startswith("$")
)


@given(st.lists(st.one_of(NAMES, st.integers(0, 99)), min_size=1, max_size=6))
def test_paths_survive_being_written(path):
    assert paths.parse(paths.show(tuple(path))) == tuple(path)


@given(st.text())
def test_any_text_is_a_path_or_a_path_error(text):
    with suppress(PathError):
        assert paths.parse(text)


def test_an_expression_is_replaced_wherever_it_stands():
    scope = Scope({"N": 3}, {"Train": {"Job": {"Name": "j"}}})
    value = {
        "list": [{"Get": "Parameters.N"}, {"deep": {"Get": "Steps.Train.Job.Name"}}],
        "joined": {"Std:Join": {"On": "-", "Values": ["a", {"Get": "Parameters.N"}, 0.5, True]}},
        "left": None,
        "plain": {"Get": "Parameters.N", "and": "more"},
    }
    assert evaluate(value, scope) == {
        "list": [3, {"deep": "j"}],
        "joined": "a-3-0.5-true",
        "plain": {"Get": "Parameters.N", "and": "more"},
    }


def test_joins_inside_joins_and_json_files():
    inner = {"Std:Join": {"On": "", "Values": ["s3://", {"Get": "Execution.PipelineName"}]}}
    uri = {"Std:Join": {"On": "/", "Values": [inner, "r.json"]}}
    assert evaluate({"Std:JsonGet": {"S3Uri": uri, "Path": "uri"}}, Scope()) == "s3://<PipelineName>/r.json"


SCALARS = st.one_of(st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())


@given(st.text(), st.lists(SCALARS))
def test_a_join_is_made_of_its_values(on, values):
    joined = evaluate({"Std:Join": {"On": on, "Values": values}}, Scope())
    assert joined == on.join(value if isinstance(value, str) else json.dumps(value) for value in values)


def test_a_join_of_a_list_is_an_error():
    scope = Scope(steps={"A": {"L": [1]}})
    with pytest.raises(ExpressionError, match="joins texts, numbers and booleans"):
        evaluate({"Std:Join": {"On": "", "Values": [{"Get": "Steps.A.L"}]}}, scope)


def test_the_steps_that_a_value_needs():
    value = [
        {"Get": "Steps.A.X"},
        {"Std:Join": {"Values": [{"Get": "Steps.B['x'].Y"}]}},
        {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.C.PropertyFiles.R"}, "Path": "Steps.D.x"}},
        {"Get": "Parameters.Steps.E"},
        "Steps.F.X",
    ]
    assert steps_named_in(value) == {"A", "B", "C"}


def _compare(kind, left, right):
    return {"Type": kind, "LeftValue": left, "RightValue": right}


@given(st.one_of(st.tuples(st.text(), st.text()), st.tuples(st.floats(-1e9, 1e9), st.integers(-9, 9))))
def test_comparisons_agree_with_each_other(pair):
    left, right = pair
    truth = {
        kind: holds(_compare(kind, left, right), Scope())
        for kind in ("Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo")
    }
    assert truth["Equals"] == (left == right)
    assert truth["GreaterThan"] == (left > right)
    assert truth["GreaterThanOrEqualTo"] == (truth["GreaterThan"] or truth["Equals"])
    assert truth["LessThan"] == (not truth["GreaterThanOrEqualTo"])
    assert truth["LessThanOrEqualTo"] == (not truth["GreaterThan"])


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        (_compare("Equals", True, 1), False),
        (_compare("Equals", "1", 1), False),
        (_compare("Equals", 1, 1.0), True),
        ({"Type": "In", "QueryValue": "b", "Values": ["a", "b"]}, True),
        ({"Type": "In", "QueryValue": 1, "Values": [True, "1"]}, False),
        ({"Type": "Not", "Condition": _compare("Equals", 1, 2)}, True),
        ({"Type": "Or", "Conditions": [_compare("Equals", 1, 2), _compare("Equals", 1, 1)]}, True),
        ({"Type": "Or", "Conditions": []}, False),
    ],
)
def test_conditions(condition, truth):
    assert holds(condition, Scope()) is truth


def test_several_conditions_are_their_and():
    yes, no = _compare("Equals", 1, 1), _compare("Equals", 1, 2)
    assert all_hold([yes, yes], Scope())
    assert not all_hold([yes, no], Scope())


@pytest.mark.parametrize(("left", "right"), [(1, "2"), ("a", 1), (True, False), (1, True), ([1], [2])])
def test_what_has_no_order_is_not_compared(left, right):
    with pytest.raises(ExpressionError, match="compares two numbers or two texts"):
        holds(_compare("GreaterThan", left, right), Scope())
