"""What an execution may be given, held to the settings of the same names."""

import pytest

from pipeline import execution_parameters
from pipeline import settings as settings_module
from pipeline.execution_parameters import ParameterError


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"TrainingInstanceType": "ml.g4dn.xlarge"}, "set training_instance_type and run"),
        ({"ProcessingInstanceType": "ml.p3.2xlarge"}, "set processing_instance_type and run"),
        ({"TrainingInstanceType": "foo"}, "TrainingInstanceType=foo: string should match pattern"),
        ({"AccuracyThreshold": "85"}, "AccuracyThreshold=85: input should be less than or equal to 1"),
        ({"MaxAccuracyDrop": "-1"}, "MaxAccuracyDrop=-1: input should be greater than or equal to 0"),
        ({"Epochs": "0"}, "Epochs=0: input should be greater than or equal to 1"),
        ({"Epochs": "some"}, "Epochs=some: input should be a valid integer"),
        ({"LearningRate": "nan"}, "LearningRate=nan: input should be greater than 0"),
        ({"BatchSize": ""}, "BatchSize=: input should be a valid integer"),
    ],
    ids=str,
)
def test_what_the_setting_would_not_have_is_refused_before_anything_is_paid_for(given, refused):
    with pytest.raises(ParameterError, match=refused):
        execution_parameters.check(settings_module.load(), given)


def test_what_only_the_settings_together_refuse_is_refused_too():
    settings = settings_module.load(algorithm="image-classification")
    with pytest.raises(ParameterError, match="learning_rate: image-classification takes at most 1"):
        execution_parameters.check(settings, {"LearningRate": "3"})


@pytest.mark.parametrize(
    "given",
    [
        {"TrainingInstanceType": "ml.c5.4xlarge", "Epochs": "3"},
        {
            "DataSource": "s3://bucket/archive.tar.gz",
            "ModelApprovalStatus": "Approved",
            "CodeRevision": "abc",
        },
        {"AccuracyThreshold": "1", "MaxAccuracyDrop": "0.0", "LearningRate": "1e-3", "WeightDecay": "0"},
        {"Nope": "what SageMaker says of it"},
    ],
    ids=str,
)
def test_everything_else_is_for_sagemaker_to_take(given):
    execution_parameters.check(settings_module.load(), given)


def test_an_image_of_ones_own_may_be_for_both():
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/train:1"
    execution_parameters.check(
        settings_module.load(algorithm="custom", training_image_uri=image),
        {"TrainingInstanceType": "ml.g5.xlarge"},
    )
