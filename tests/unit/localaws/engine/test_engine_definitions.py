"""What is refused when a pipeline is created, and when an execution is started."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localaws.sagemaker.engine.caching import cache_key
from localaws.sagemaker.engine.retries import next_delay
from localaws.sagemaker.engine.step_types import STEP_TYPES
from localaws.sagemaker.engine.validation import check_definition
from localaws.sagemaker.errors import ValidationError
from tests.unit.localaws.engine.conftest import (
    compare,
    condition,
    get,
    json_get,
    parameter,
    pipeline,
    processing,
)


def _check(definition):
    return check_definition(definition if isinstance(definition, str) else json.dumps(definition), STEP_TYPES)


def _with_value(value):
    return pipeline(processing("A", environment={"X": value}), processing("B"))


def _with_parameters(*parameters):
    return pipeline(processing("A"), parameters=list(parameters))


def _gate(*conditions):
    return pipeline(condition("Gate", list(conditions), [], []))


def _retry(**policy):
    return pipeline(processing("A", RetryPolicies=[policy]))


REPORT = {"PropertyFileName": "R", "OutputName": "out", "FilePath": "r.json"}
LOOP = (processing("A", DependsOn=["C"]), processing("B", DependsOn=["A"]), processing("C", DependsOn=["B"]))

# What is said, or one of several things with a | between them: what is wrong.
DOCUMENTS = {
    "not valid JSON": "{",
    "must be a JSON object": "[]",
    "Version must be '2020-12-01', not '1'": pipeline(processing("A")) | {"Version": "1"},
    "Steps must name at least one step": pipeline(),
    "Steps must be a list of objects": pipeline() | {"Steps": {"A": 1}},
}
STEPS = {
    "step names must be unique, but A repeats": pipeline(processing("A"), processing("A")),
    "but Inner repeats": pipeline(
        processing("Inner"), condition("Gate", [compare("Equals", 1, 1)], [processing("Inner")], [])
    ),
    "'A b': its name must have 1 to 64": pipeline(processing("A b")),
    "is of type ClarifyCheck, which the local SageMaker cannot run": pipeline(
        {"Name": "A", "Type": "ClarifyCheck", "Arguments": {}}
    ),
    "depends on 'Z', but there is no such step": pipeline(processing("A", DependsOn=["Z"])),
    "in a cycle: A → B → C → A|in a cycle: B → C → A → B|in a cycle: C → A → B → C": pipeline(*LOOP),
    "DependsOn: Input should be a valid list": pipeline(processing("A", DependsOn="B"), processing("B")),
    "'soon' is no duration": pipeline(processing("A", CacheConfig={"Enabled": True, "ExpireAfter": "soon"})),
    "FunctionArn: Field required": pipeline({"Name": "A", "Type": "Lambda", "Arguments": {}}),
    "PropertyFiles.0.FilePath: Field required": pipeline(
        processing("A", PropertyFiles=[{"PropertyFileName": "R", "OutputName": "out"}])
    ),
}
PARAMETERS = {
    "parameter names must be unique": _with_parameters(parameter("P"), parameter("P")),
    "Type must be one of String, Integer, Float, Boolean, not 'Date'": _with_parameters(
        parameter("P", "Date")
    ),
    "'three' is not of its type, Integer": _with_parameters(parameter("P", "Integer", "three")),
    "c is not one of a, b": _with_parameters(parameter("P", default="c", EnumValues=["a", "b"])),
}
VALUES = {
    "the parameter 'Q', which is not declared": _with_value(get("Parameters.Q")),
    "no such execution variable": _with_value(get("Execution.Nothing")),
    "but there is no step 'Z'": _with_value(get("Steps.Z.X")),
    "names no property of the step": _with_value(get("Steps.B")),
    "begins with none of Parameters, Execution and Steps": _with_value(get("Somewhere.X")),
    "Std:Join needs a list of Values": _with_value({"Std:Join": {"On": "/"}}),
    "Std:Split is no function": _with_value({"Std:Split": {}}),
    "needs either a PropertyFile or an S3Uri": _with_value({"Std:JsonGet": {"Path": "a"}}),
    "property file 'R', which step 'B' does not declare": _with_value(json_get("B", "R", "a")),
    "is no path: it cannot be read from character 2 on": pipeline(
        processing("B", PropertyFiles=[REPORT]), processing("A", environment={"X": json_get("B", "R", "a[")})
    ),
}
CONDITIONS = {
    "Arguments.Conditions: List should have at least 1 item": _gate(),
    "Input tag 'Like' found using 'Type' does not match any of the expected tags": _gate({"Type": "Like"}),
    "Arguments.Conditions.0.GreaterThan.RightValue: Field required": _gate(
        {"Type": "GreaterThan", "LeftValue": 1}
    ),
    "Arguments.Conditions.0.Not.Condition: Field required": _gate({"Type": "Not"}),
    "Arguments.Conditions.0.Or.Conditions.0.In.Values: Field required": _gate(
        {"Type": "Or", "Conditions": [{"Type": "In", "QueryValue": 1}]}
    ),
}
RETRIES = {
    "RetryPolicies.0.ExceptionType.0: Input should be": _retry(
        ExceptionType=["Step.BAD_LUCK"], MaxAttempts=1
    ),
    "exclude each other": _retry(ExceptionType=["Step.THROTTLING"], MaxAttempts=1, ExpireAfterMin=5),
    "RetryPolicies.0.MaxAttempts: Input should be less than or equal to 20": _retry(
        ExceptionType=["Step.THROTTLING"], MaxAttempts=21
    ),
}
WRONG = DOCUMENTS | STEPS | PARAMETERS | VALUES | CONDITIONS | RETRIES


@pytest.mark.parametrize(("words", "definition"), WRONG.items(), ids=WRONG)
def test_wrong_definitions_are_refused_with_their_reason(words, definition):
    with pytest.raises(ValidationError) as caught:
        _check(definition)
    assert any(each in str(caught.value) for each in words.split("|")), str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def _places(value, path=()):
    """The way to every value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _places(item, (*path, key))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_either_harmless_or_refused(make, data):
    definition = _rich(make)
    path = data.draw(st.sampled_from(list(_places(definition))))
    parent = definition
    for key in path[:-1]:
        parent = parent[key]
    if data.draw(st.booleans()):
        del parent[path[-1]]
    else:
        parent[path[-1]] = data.draw(JSON)
    with suppress(ValidationError):
        checked = _check(definition)
        for step in checked.steps.values():
            assert next_delay(step, "Step.THROTTLING", 1, 0) is not None
            cache_key(step, step.arguments)


def _rich(make):
    report = {"PropertyFileName": "R", "OutputName": "out", "FilePath": "r.json"}
    policy = {
        "ExceptionType": ["Step.THROTTLING"],
        "IntervalSeconds": 1,
        "BackoffRate": 2.0,
        "MaxAttempts": 5,
    }
    cache = {"Enabled": True, "ExpireAfter": "P1D"}
    value = make.json_get("A", "R", "a[0]['b']")
    condition = {"Type": "Or", "Conditions": [{"Type": "Not", "Condition": make.compare("Equals", value, 1)}]}
    within = {"Type": "In", "QueryValue": make.get("Parameters.P"), "Values": ["a", make.join("", value)]}
    function = {
        "Name": "L",
        "Type": "Lambda",
        "FunctionArn": "arn",
        "Arguments": {"x": make.get("Parameters.P")},
    }
    function["OutputParameters"] = [{"OutputName": "o", "OutputType": "Integer"}]
    return make.pipeline(
        make.processing("A", PropertyFiles=[report], CacheConfig=cache, RetryPolicies=[policy]),
        make.condition(
            "C", [condition, within], [make.training("T", DependsOn=["A"])], [make.fail("F", value)]
        ),
        function,
        parameters=[make.parameter("P", default="a", EnumValues=["a", "b"])],
    )


def test_all_that_is_wrong_is_said_at_once(make):
    with pytest.raises(ValidationError) as caught:
        _check(make.pipeline(make.processing("A", DependsOn=["Y"]), make.processing("B", DependsOn=["Z"])))
    assert "'Y'" in str(caught.value)
    assert "'Z'" in str(caught.value)


def test_a_step_may_not_wait_for_its_own_branch(make):
    inner = make.processing("Inner")
    gate = make.condition(
        "Gate", [make.compare("Equals", make.get("Steps.Inner.ProcessingJobName"), "x")], [inner], []
    )
    with pytest.raises(ValidationError, match="in a cycle"):
        _check(make.pipeline(gate))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"Nope": "1"}, "Unknown pipeline parameter Nope; it has Needed, Count, Rate, On, Mode"),
        ({}, "'Needed' has no default value"),
        ({"Needed": "x", "Count": "1.5"}, "'Count' takes a value of type Integer, not '1.5'"),
        ({"Needed": "x", "Rate": "fast"}, "'Rate' takes a value of type Float, not 'fast'"),
        ({"Needed": "x", "Rate": "nan"}, "'Rate' takes a value of type Float, not 'nan'"),
        ({"Needed": "x", "On": "yes"}, "'On' takes a value of type Boolean, not 'yes'"),
        ({"Needed": "x", "Mode": "c"}, "'Mode': c is not one of a, b"),
    ],
)
def test_wrong_parameters_start_nothing(sagemaker, make, given, words):
    sagemaker.create_pipeline(_parametrised(make))
    with pytest.raises(ValidationError) as caught:
        sagemaker.start(parameters=given)
    assert words in str(caught.value)
    assert sagemaker.store.list("PipelineExecution") == []


def test_parameters_of_an_execution(sagemaker, make):
    execution = sagemaker.run(_parametrised(make), parameters={"Needed": "x", "Count": "-7", "On": "TRUE"})
    listed = sagemaker.call("ListPipelineParametersForExecution", {"PipelineExecutionArn": execution.arn})
    values = {each["Name"]: each["Value"] for each in listed["PipelineParameters"]}
    assert values == {"Needed": "x", "Count": "-7", "Rate": "0.5", "On": "true", "Mode": "a"}
    assert list(values) == ["Needed", "Count", "Rate", "On", "Mode"]


def _parametrised(make):
    parameters = [
        make.parameter("Needed"),
        make.parameter("Count", "Integer", 3),
        make.parameter("Rate", "Float", 0.5),
        make.parameter("On", "Boolean", False),
        make.parameter("Mode", default="a", EnumValues=["a", "b"]),
    ]
    return make.pipeline(make.processing("A"), parameters=parameters)
