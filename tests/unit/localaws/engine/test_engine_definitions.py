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


def _check(definition):
    return check_definition(definition if isinstance(definition, str) else json.dumps(definition), STEP_TYPES)


def _wrong(make):
    step, get = make.processing, make.get
    report = {"PropertyFileName": "R", "OutputName": "out", "FilePath": "r.json"}

    def with_value(value):
        return make.pipeline(step("A", environment={"X": value}), step("B"))

    def gate(*conditions):
        return make.pipeline(make.condition("Gate", list(conditions), [], []))

    def retry(**policy):
        return make.pipeline(step("A", RetryPolicies=[policy]))

    loop = (step("A", DependsOn=["C"]), step("B", DependsOn=["A"]), step("C", DependsOn=["B"]))
    return {
        "not valid JSON": "{",
        "must be a JSON object": "[]",
        "Version must be '2020-12-01', not '1'": make.pipeline(step("A")) | {"Version": "1"},
        "Steps must name at least one step": make.pipeline(),
        "Steps must be a list of objects": make.pipeline() | {"Steps": {"A": 1}},
        "step names must be unique, but A repeats": make.pipeline(step("A"), step("A")),
        "but Inner repeats": make.pipeline(
            step("Inner"), make.condition("Gate", [make.compare("Equals", 1, 1)], [step("Inner")], [])
        ),
        "parameter names must be unique": make.pipeline(
            step("A"), parameters=[make.parameter("P"), make.parameter("P")]
        ),
        "Type must be one of String, Integer, Float, Boolean, not 'Date'": make.pipeline(
            step("A"), parameters=[make.parameter("P", "Date")]
        ),
        "'three' is not of its type, Integer": make.pipeline(
            step("A"), parameters=[make.parameter("P", "Integer", "three")]
        ),
        "c is not one of a, b": make.pipeline(
            step("A"), parameters=[make.parameter("P", default="c", EnumValues=["a", "b"])]
        ),
        "'A b': its name must have 1 to 64": make.pipeline(step("A b")),
        "is of type ClarifyCheck, which the local SageMaker cannot run": make.pipeline(
            {"Name": "A", "Type": "ClarifyCheck", "Arguments": {}}
        ),
        "depends on 'Z', but there is no such step": make.pipeline(step("A", DependsOn=["Z"])),
        "in a cycle: A → B → C → A|in a cycle: B → C → A → B|in a cycle: C → A → B → C": make.pipeline(*loop),
        "the parameter 'Q', which is not declared": with_value(get("Parameters.Q")),
        "no such execution variable": with_value(get("Execution.Nothing")),
        "but there is no step 'Z'": with_value(get("Steps.Z.X")),
        "names no property of the step": with_value(get("Steps.B")),
        "begins with none of Parameters, Execution and Steps": with_value(get("Somewhere.X")),
        "Std:Join needs a list of Values": with_value({"Std:Join": {"On": "/"}}),
        "Std:Split is no function": with_value({"Std:Split": {}}),
        "needs either a PropertyFile or an S3Uri": with_value({"Std:JsonGet": {"Path": "a"}}),
        "property file 'R', which step 'B' does not declare": with_value(make.json_get("B", "R", "a")),
        "is no path: it cannot be read from character 2 on": make.pipeline(
            step("B", PropertyFiles=[report]), step("A", environment={"X": make.json_get("B", "R", "a[")})
        ),
        "Arguments.Conditions: List should have at least 1 item": gate(),
        "Input tag 'Like' found using 'Type' does not match any of the expected tags": gate({"Type": "Like"}),
        "Arguments.Conditions.0.GreaterThan.RightValue: Field required": gate(
            {"Type": "GreaterThan", "LeftValue": 1}
        ),
        "Arguments.Conditions.0.Not.Condition: Field required": gate({"Type": "Not"}),
        "Arguments.Conditions.0.Or.Conditions.0.In.Values: Field required": gate(
            {"Type": "Or", "Conditions": [{"Type": "In", "QueryValue": 1}]}
        ),
        "'soon' is no duration": make.pipeline(
            step("A", CacheConfig={"Enabled": True, "ExpireAfter": "soon"})
        ),
        "RetryPolicies.0.ExceptionType.0: Input should be": retry(
            ExceptionType=["Step.BAD_LUCK"], MaxAttempts=1
        ),
        "FunctionArn: Field required": make.pipeline({"Name": "A", "Type": "Lambda", "Arguments": {}}),
        "PropertyFiles.0.FilePath: Field required": make.pipeline(
            step("A", PropertyFiles=[{"PropertyFileName": "R", "OutputName": "out"}])
        ),
        "DependsOn: Input should be a valid list": make.pipeline(step("A", DependsOn="B"), step("B")),
        "exclude each other": retry(ExceptionType=["Step.THROTTLING"], MaxAttempts=1, ExpireAfterMin=5),
        "RetryPolicies.0.MaxAttempts: Input should be less than or equal to 20": retry(
            ExceptionType=["Step.THROTTLING"], MaxAttempts=21
        ),
    }


def test_wrong_definitions_are_refused_with_their_reason(make):
    for words, definition in _wrong(make).items():
        with pytest.raises(ValidationError) as caught:
            _check(definition)
        assert any(each in str(caught.value) for each in words.split("|")), (words, str(caught.value))


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
