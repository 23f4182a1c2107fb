"""What the local AWS has of a resource type, and what it refuses by name."""

import pytest

from localaws.cloudformation import resource_types
from localaws.cloudformation.errors import ResourceError, ValidationError


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("AWS::Lambda::Function", "DeadLetterConfig"),
        ("AWS::Lambda::Function", "Architectures"),
        ("AWS::IAM::Role", "Path"),
        ("AWS::S3::Bucket", "NotificationConfiguration"),
        ("AWS::SQS::Queue", "DelaySeconds"),
        ("AWS::StepFunctions::StateMachine", "Definition"),
    ],
)
def test_a_property_that_it_does_not_have_is_refused_by_name(kind, name):
    with pytest.raises(ResourceError, match=f"^The local AWS does not have {name} of {kind}$"):
        resource_types.find(kind).check({name: "anything"})


def test_a_type_that_it_does_not_have_is_refused_by_name():
    with pytest.raises(ValidationError, match=r"Unrecognized resource types: \[AWS::IAM::RolePolicy\]"):
        resource_types.find("AWS::IAM::RolePolicy")
