import botocore.session
import pytest

from localaws.sagemaker.checks import SerializationError, _pattern, check_request
from localaws.sagemaker.errors import ValidationError

MODEL = botocore.session.get_session().get_service_model("sagemaker")


def job(**changes):
    return {
        "TrainingJobName": "a-job",
        "RoleArn": "arn:aws:iam::123456789012:role/scones",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
        **changes,
    }


def check(request, operation="CreateTrainingJob"):
    check_request(MODEL.operation_model(operation), request)


def test_a_right_request_passes():
    check(
        job(
            Tags=[{"Key": "équipe", "Value": "Lieferung @ 7 / +"}],
            StoppingCondition={"MaxRuntimeInSeconds": 1},
        )
    )


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            job(TrainingJobName=None),
            "1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            job(TrainingJobName="a b"),
            "Value 'a b' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular "
            r"expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            job(HyperParameters={"k": "v" * 2501}),
            "at 'hyperParameters.k.member' failed to satisfy constraint: "
            "Member must have length less than or equal to 2500",
        ),
        (
            job(InputDataConfig=[{"ChannelName": "train", "DataSource": {}, "InputMode": "Carrier"}]),
            "Value 'Carrier' at 'inputDataConfig.1.member.inputMode' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Pipe, File, FastFile]",
        ),
        (
            job(StoppingCondition={"MaxRuntimeInSeconds": 0}),
            "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
        ),
        (job(Tags=[{"Key": "a"}]), "Value null at 'tags.1.member.value'"),
        (
            job(TrainingJobname="x"),
            "Member 'trainingJobname' is unknown; CreateTrainingJobRequest has: Train",
        ),
        (job(Tags=[{"Key": "a|b", "Value": ""}]), "'tags.1.member.key' failed to satisfy constraint"),
    ],
)
def test_constraints_in_the_services_words(request_, message):
    with pytest.raises(ValidationError) as error:
        check(request_)
    assert message in str(error.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ValidationError, match=r"^3 validation errors detected: .*; .*; "):
        check({})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (job(TrainingJobName=3), "trainingJobName must be a JSON string, not int"),
        (job(EnableManagedSpotTraining="true"), "enableManagedSpotTraining must be a JSON boolean, not str"),
        (job(Tags={}), "tags must be a JSON array, not dict"),
        (job(StoppingCondition={"MaxRuntimeInSeconds": True}), "must be a JSON number, not bool"),
        ([], "The request must be a JSON object, not list"),
    ],
)
def test_wrong_types(request_, message):
    with pytest.raises(SerializationError) as error:
        check(request_)
    assert message in str(error.value)


def test_times_are_epoch_seconds_as_the_wire_has_them():
    check({"CreationTimeAfter": 1700000000.5}, "ListTrainingJobs")


def test_every_pattern_of_the_service_model_is_understood():
    shapes = (MODEL.shape_for(name) for name in MODEL.shape_names)
    patterns = {shape.metadata["pattern"] for shape in shapes if "pattern" in shape.metadata}
    assert len(patterns) > 100
    for pattern in patterns:
        _pattern(pattern)
