"""The definition with another algorithm than our own: what each step asks SageMaker for."""

import json
import socket
from typing import Any

import botocore.session
import pytest

from localaws.runners.image_classification import parameters as stand_in
from localaws.sagemaker.checks import check_request
from pipeline import algorithms
from pipeline import settings as settings_module
from pipeline.code import Code
from pipeline.definition import definition_json

CODE = {
    "processing": Code("processing", {"prepare.py": b"1"}),
    "training": Code("training", {"train.py": b"2"}, archive=True),
}
OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/vehicles:1.2"
SERVES = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/vehicles-serving:1.2"
BUILT_IN = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
FILES = {"splits.train.images": 1000, "model_data": "s3://bucket/code"}
OPERATIONS = {
    "PrepareData": ("CreateProcessingJob", "ProcessingJobName"),
    "TrainModel": ("CreateTrainingJob", "TrainingJobName"),
    "CreateModel": ("CreateModel", "ModelName"),
    "PredictValidation": ("CreateTransformJob", "TransformJobName"),
    "EvaluateModel": ("CreateProcessingJob", "ProcessingJobName"),
}


def requests(**settings: Any) -> dict[str, dict[str, Any]]:
    """Each step's request as the service would make it, checked against the service's model."""
    document = json.loads(definition_json(settings_module.load(**settings), **CODE))
    parameters = {each["Name"]: each["DefaultValue"] for each in document["Parameters"]}

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "Get" in value:
            kind, _, rest = value["Get"].partition(".")
            known = {"Parameters": parameters.get(rest), "Execution": "abcdefghijkl"}
            return known.get(kind) or ("the-model" if rest.endswith("ModelName") else f"s3://bucket/{rest}")
        if "Std:Join" in value:
            return value["Std:Join"]["On"].join(str(item) for item in resolve(value["Std:Join"]["Values"]))
        if "Std:JsonGet" in value:
            return FILES.get(value["Std:JsonGet"]["Path"], "x")
        return {key: resolve(item) for key, item in value.items()}

    steps = {step["Name"]: step for step in document["Steps"]}
    steps |= {step["Name"]: step for step in steps["CheckAccuracy"]["Arguments"]["IfSteps"]}
    found = {name: resolve(step["Arguments"]) for name, step in steps.items()}
    model = botocore.session.get_session().get_service_model("sagemaker")
    for name, (operation, member) in OPERATIONS.items():
        check_request(model.operation_model(operation), found[name] | {member: "pipelines-abc"})
    check_request(model.operation_model("CreateModelPackage"), found["RegisterModel"])
    return found


@pytest.fixture(scope="module")
def built_in():
    return requests(algorithm="image-classification")


@pytest.fixture(scope="module")
def custom():
    return requests(
        algorithm="custom",
        training_image_uri=OWN,
        inference_image_uri=SERVES,
        hyperparameters={"depth": 3},
        batch_size=17,
    )


def test_built_in_hyperparameters(built_in):
    assert built_in["TrainModel"]["HyperParameters"] == {
        "num_classes": "2",
        "num_training_samples": "1000",  # PrepareData's count, as a text
        "image_shape": "3,32,32",
        "num_layers": "20",
        "optimizer": "sgd",
        "momentum": "0.9",
        "augmentation_type": "crop_color_transform",
        "epochs": "30",
        "learning_rate": "0.025",
        "mini_batch_size": "32",
        "weight_decay": "0.0001",
        "checkpoint_frequency": "30",
    }
    stand_in.parse(built_in["TrainModel"]["HyperParameters"])


def test_built_in_reads_recordio_through_a_pipe_on_a_gpu_and_brings_its_own_metrics(built_in):
    train = built_in["TrainModel"]
    # "You can't override the metric definitions for Amazon SageMaker algorithms."
    assert train["AlgorithmSpecification"] == {"TrainingImage": BUILT_IN, "TrainingInputMode": "Pipe"}
    assert train["ResourceConfig"]["InstanceType"] == "ml.g4dn.xlarge"
    for channel, name in zip(train["InputDataConfig"], ("train", "validation"), strict=True):
        assert (channel["ChannelName"], channel["InputMode"]) == (name, "Pipe")
        assert channel["ContentType"] == "application/x-recordio"
        source = channel["DataSource"]["S3DataSource"]
        assert f"{name}_recordio" in source["S3Uri"]
        assert source["S3DataDistributionType"] == "FullyReplicated"


def outputs(request):
    return [output["OutputName"] for output in request["ProcessingOutputConfig"]["Outputs"]]


def test_data_are_prepared_for_what_reads_them(built_in, custom):
    channels = ["train", "validation", "statistics"]
    assert outputs(built_in["PrepareData"]) == [
        *channels,
        "train_recordio",
        "validation_recordio",
        "validation_images",
    ]
    assert outputs(custom["PrepareData"]) == [*channels, "validation_images"]
    assert outputs(requests_of_our_own()["PrepareData"]) == channels


def requests_of_our_own():
    document = json.loads(definition_json(settings_module.load(), **CODE))
    return {step["Name"]: step["Arguments"] for step in document["Steps"]}


def test_model_is_asked_by_a_transform_job(built_in, custom):
    for found, image in ((built_in, BUILT_IN), (custom, SERVES)):
        container = found["CreateModel"]["PrimaryContainer"]
        assert container["Image"] == image
        assert "Environment" not in container
        transform = found["PredictValidation"]
        assert transform["ModelName"] == "the-model"
        given = transform["TransformInput"]
        assert (given["ContentType"], given["SplitType"]) == ("image/png", "None")
        assert "validation_images" in given["DataSource"]["S3DataSource"]["S3Uri"]
        evaluate = found["EvaluateModel"]
        assert "--model" not in evaluate["AppSpecification"]["ContainerArguments"]
        assert "--predictions" in evaluate["AppSpecification"]["ContainerArguments"]
        places = {item["InputName"]: item["S3Input"]["S3Uri"] for item in evaluate["ProcessingInputs"]}
        assert places["predictions"].endswith("PredictValidation.TransformOutput.S3OutputPath")


def test_registered_with_the_image_that_serves(built_in, custom):
    for found, algorithm, image in (
        (built_in, "image-classification", BUILT_IN),
        (custom, "custom", SERVES),
    ):
        specification = found["RegisterModel"]["InferenceSpecification"]
        assert specification["Containers"][0]["Image"] == image
        assert "Environment" not in specification["Containers"][0]
        assert specification["SupportedContentTypes"] == ["image/png", "image/jpeg", "application/x-image"]
        assert specification["SupportedResponseMIMETypes"] == ["application/json"]
        metadata = found["RegisterModel"]["CustomerMetadataProperties"]
        assert metadata["algorithm"] == algorithm
        assert metadata["training_code"] == (OWN if algorithm == "custom" else BUILT_IN)


def test_own_image_gets_the_channels_and_plain_hyperparameters(custom):
    train = custom["TrainModel"]
    assert train["AlgorithmSpecification"]["TrainingImage"] == OWN
    metrics = {metric["Name"] for metric in train["AlgorithmSpecification"]["MetricDefinitions"]}
    assert "validation:accuracy" in metrics
    assert [channel["ChannelName"] for channel in train["InputDataConfig"]] == ["train", "validation"]
    given = train["HyperParameters"]
    assert (given["classes"], given["image-size"], given["batch-size"]) == ("bicycle,motorcycle", "32", "17")
    assert given["depth"] == "3"
    assert not any(name.startswith("sagemaker_") for name in given)


def test_own_image_that_trains_also_serves_unless_another_does():
    found = requests(algorithm="custom", training_image_uri=OWN)
    assert found["CreateModel"]["PrimaryContainer"]["Image"] == OWN


def test_script_mode_in_own_images():
    document = json.loads(
        definition_json(
            settings_module.load(
                training_image_uri=OWN,
                inference_image_uri=SERVES,
                hyperparameters={"threads": 2, "optimiser": "adamw"},
            ),
            **CODE,
        )
    )
    steps = {step["Name"]: step["Arguments"] for step in document["Steps"]}
    assert steps["TrainModel"]["AlgorithmSpecification"]["TrainingImage"] == OWN
    assert json.loads(steps["TrainModel"]["HyperParameters"]["sagemaker_program"]) == "train.py"
    assert steps["TrainModel"]["HyperParameters"]["threads"] == "2"
    assert steps["TrainModel"]["HyperParameters"]["optimiser"] == '"adamw"'  # the toolkit decodes JSON
    assert "pytorch-training" in steps["PrepareData"]["AppSpecification"]["ImageUri"]
    register = steps["CheckAccuracy"]["IfSteps"][0]["Arguments"]
    assert register["InferenceSpecification"]["Containers"][0]["Image"] == SERVES


def test_vpc_key_and_isolation_reach_model_and_transform():
    key = "arn:aws:kms:us-east-1:123456789012:key/1-2"
    found = requests(
        algorithm="image-classification",
        subnet_ids="subnet-1a",
        security_group_ids="sg-1b",
        network_isolation=True,
        kms_key_arn=key,
    )
    assert found["CreateModel"]["EnableNetworkIsolation"] is True
    vpc = {"Subnets": ["subnet-1a"], "SecurityGroupIds": ["sg-1b"]}
    assert found["CreateModel"]["VpcConfig"] == found["TrainModel"]["VpcConfig"] == vpc
    assert found["PredictValidation"]["TransformOutput"]["KmsKeyId"] == key
    assert found["PredictValidation"]["TransformResources"]["VolumeKmsKeyId"] == key
    assert [channel["ChannelName"] for channel in found["TrainModel"]["InputDataConfig"]] == [
        "train",
        "validation",
    ]


def test_hyperparameters_over_the_defaults():
    found = requests(
        algorithm="image-classification",
        image_size=128,
        hyperparameters={"use_pretrained_model": "1", "optimizer": "adam", "top_k": 2},
    )
    given = found["TrainModel"]["HyperParameters"]
    assert (given["num_layers"], given["image_shape"]) == ("18", "3,128,128")
    assert (given["use_pretrained_model"], given["optimizer"], given["top_k"]) == ("1", "adam", "2")
    stand_in.parse(given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"algorithm": "resnet"},
            "--algorithm: input should be 'pytorch', 'image-classification' or 'custom'",
        ),
        ({"algorithm": "custom"}, "training_image_uri: the algorithm custom needs the image that trains"),
        (
            {"algorithm": "image-classification", "training_instance_type": "ml.m5.xlarge"},
            "trains on the GPUs of P2, P3, G4dn and G5 instances, such as .*, not on ml.m5.xlarge",
        ),
        ({"algorithm": "image-classification", "training_image_uri": OWN}, "has its own; choose custom"),
        (
            {"algorithm": "image-classification", "preset": "fast"},
            "preset: only the algorithm pytorch has it",
        ),
        ({"pretrain": True, "image_size": 200}, "image_size: at most 128 with pretrain"),
        ({"algorithm": "image-classification", "learning_rate": 2.0}, "learning_rate: .* at most 1"),
        (
            {"algorithm": "image-classification", "hyperparameters": {"momentun": 0.8}},
            "hyperparameters: image-classification has no momentun; it has .*momentum",
        ),
        (
            {"algorithm": "image-classification", "hyperparameters": {"num_training_samples": 9}},
            "hyperparameters: num_training_samples comes from the other settings or from the data",
        ),
        (
            {"hyperparameters": {"ema": 0, "calibration_folds": 0, "calibration-folds": 3}},
            "folds is given twice",
        ),
        ({"hyperparameters": {"sagemaker_program": "x"}}, "sagemaker_program comes from"),
        (
            {"algorithm": "image-classification", "hyperparameters": {"num_layers": 57}},
            "hyperparameters: image-classification has no network of 57 num_layers; it has 20, 32",
        ),
        ({"hyperparameters": {"learning_rate": 1}}, "learning_rate comes from the other settings"),
        ({"hyperparameters": {"cutmixx": 0.8}}, "hyperparameters: .*--cutmixx"),
        ({"hyperparameters": {"cutmix": 8}}, "hyperparameters: cutmix must be between 0 and 1, not 8"),
        ({"image_size": 8}, "--image-size: .* greater than or equal to 9"),
        ({"hyperparameters": {"x": True}}, "x: a text or a number is wanted, not True"),
        ({"hyperparameters": "x=1"}, "a JSON object is wanted"),
        ({"training_image_uri": "ubuntu:24.04"}, "--training-image-uri: "),
    ],
)
def test_refused(options, message):
    with pytest.raises(settings_module.SettingsError, match=message):
        settings_module.load(**options)


def test_hyperparameters_from_a_variable(monkeypatch):
    monkeypatch.setenv("SCONES_HYPERPARAMETERS", '{"lr_scheduler_step": "10,20", "momentum": 0.8}')
    monkeypatch.setenv("SCONES_ALGORITHM", "image-classification")
    found = settings_module.load()
    assert found.hyperparameters == {"lr_scheduler_step": "10,20", "momentum": "0.8"}
    assert found.training_instance_type == "ml.g4dn.xlarge"


def test_names_are_those_of_the_stand_in():
    # `resize` is for images, and the pipeline sends RecordIO.
    own = algorithms.OWN["image-classification"]
    assert algorithms.BUILT_IN_NAMES | own == stand_in.KNOWN.keys() - {"resize"}


def test_is_built_offline_and_the_same_each_time(monkeypatch):
    def refuse(*_arguments: object) -> None:
        raise AssertionError("a definition was built over the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    settings = settings_module.load(algorithm="image-classification")
    assert definition_json(settings, **CODE) == definition_json(settings, **CODE)
