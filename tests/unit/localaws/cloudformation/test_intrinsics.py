"""Intrinsic functions that the templates here do not use, as a person who edits them would.

Expected values are those of AWS's reference, a page for each function:
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

import json

import pytest

from localaws.cloudformation import templates
from localaws.cloudformation.errors import ValidationError
from localaws.cloudformation.intrinsics import KNOWN_LATER, Scope

TEMPLATE = """
Parameters:
  ASecurityGroup: {Type: String}
  DbSubnetIpBlocks: {Type: CommaDelimitedList}
Mappings:
  RegionMap:
    us-east-1: {HVM64: ami-0ff8a91507f77f867, HVMG2: ami-0a584ac55a7631c0c}
    us-west-1: {HVM64: ami-0bdb828fd58c52235, HVMG2: ami-066ee5fd4a9ef77f1}
Conditions:
  SomeOtherCondition: !Equals [one, other]
Resources:
  Topic: {Type: AWS::SNS::Topic}
"""
VALUES = {
    "AWS::Region": "us-east-1",
    "ASecurityGroup": "sg-mysggroup",
    "DbSubnetIpBlocks": "10.0.48.0/24, 10.0.112.0/24, 10.0.176.0/24",
}


@pytest.fixture
def scope():
    return Scope(templates.parse(TEMPLATE), VALUES, lambda _name, _attribute: KNOWN_LATER)


SPLIT_ARN = {"Fn::Split": [":", {"Fn::GetAtt": ["Topic", "TopicArn"]}]}


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"Fn::Select": ["1", ["apples", "grapes", "oranges", "mangoes"]]}, "grapes"),
        ({"Fn::Select": ["0", {"Ref": "DbSubnetIpBlocks"}]}, "10.0.48.0/24"),
        ({"Fn::Split": ["|", "a|b|c"]}, ["a", "b", "c"]),
        ({"Fn::Split": ["|", "a||c|"]}, ["a", "", "c", ""]),
        ({"Fn::FindInMap": ["RegionMap", {"Ref": "AWS::Region"}, "HVM64"]}, "ami-0ff8a91507f77f867"),
        ({"Fn::Base64": "AWS CloudFormation"}, "QVdTIENsb3VkRm9ybWF0aW9u"),
        (
            {
                "Fn::Or": [
                    {"Fn::Equals": ["sg-mysggroup", {"Ref": "ASecurityGroup"}]},
                    {"Condition": "SomeOtherCondition"},
                ]
            },
            True,
        ),
        ({"Fn::Or": [{"Condition": "SomeOtherCondition"}, {"Fn::Equals": ["a", "b"]}]}, False),
    ],
    ids=json.dumps,
)
def test_a_function_gives_what_the_reference_says(scope, node, expected):
    assert scope.evaluate(node) == expected


@pytest.mark.parametrize(
    "node",
    [
        {"Fn::Select": ["5", SPLIT_ARN]},
        {"Fn::Join": ["-", SPLIT_ARN]},
        {"Fn::Base64": {"Fn::Sub": "topic=${Topic}"}},
    ],
    ids=json.dumps,
)
def test_what_hangs_on_a_resource_that_is_not_there_yet_is_known_later(scope, node):
    assert scope.evaluate(node) == KNOWN_LATER


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("Fn::Select", ["4", ["apples", "grapes", "oranges", "mangoes"]]),
        ("Fn::Select", ["-1", ["apples", "grapes"]]),
        ("Fn::Select", ["0", "apples"]),
        ("Fn::Select", ["0"]),
        ("Fn::Split", ["|"]),
        ("Fn::Split", ["", "a|b"]),
        ("Fn::Split", ["|", ["a|b"]]),
        ("Fn::FindInMap", ["RegionMap", "us-east-1"]),
        ("Fn::FindInMap", ["RegionMap", "us-east-1", ["HVM64"]]),
        ("Fn::Base64", ["AWS CloudFormation"]),
        ("Fn::Or", [{"Condition": "SomeOtherCondition"}]),
        ("Fn::Or", ["true", "false"]),
    ],
)
def test_a_wrong_argument_is_an_error_that_names_the_function(scope, name, argument):
    with pytest.raises(ValidationError, match=f"^Template error: .*{name}"):
        scope.evaluate({name: argument})


def test_a_mapping_that_is_not_there_is_named(scope):
    with pytest.raises(ValidationError, match="Unable to get mapping for RegionMap::us-east-1::HVM32"):
        scope.evaluate({"Fn::FindInMap": ["RegionMap", "us-east-1", "HVM32"]})


def test_what_takes_a_transform_on_aws_is_refused(scope):
    with pytest.raises(ValidationError, match="does not have Fn::ToJsonString"):
        scope.evaluate({"Fn::ToJsonString": {"key1": "value1"}})
