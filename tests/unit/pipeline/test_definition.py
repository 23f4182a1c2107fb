"""The definition: its shape, that SageMaker would take its requests, and that it is the same everywhere."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from localaws.sagemaker.checks import check_request
from pipeline import settings as settings_module
from pipeline.code import Code
from pipeline.definition import definition_json
from pipeline.sdk import SDK_CONFIG

ROOT = Path(__file__).parents[3]
CODE = {
    "processing": Code("processing", {"prepare.py": b"1"}),
    "training": Code("training", {"train.py": b"2"}, archive=True),
}
# What the properties of earlier steps and the property files hold when an execution gets there.
PROPERTIES = {
    "ModelArtifacts.S3ModelArtifacts": "s3://bucket/model.tar.gz",
    "S3Output.S3Uri": "s3://bucket/output",
}
FILES = {
    "source.sha256": "0" * 64,
    "multiclass_classification_metrics.accuracy.value": 0.5,
    "comparison.accuracy_drop": 0.1,
    "comparison.summary": "the approved model scones/1 has 0.6000 on the same 10 images",
    "recommended_threshold.metadata.confidence_threshold": "0.83",
    "recommended_threshold.metadata.threshold_accuracy": "0.99",
    "recommended_threshold.metadata.threshold_coverage": "0.91",
    "model_package_arn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/scones/1",
    "model_data": "s3://bucket/model.tar.gz",
    "note": "none",
}

JOBS = {
    "PrepareData": ("CreateProcessingJob", "ProcessingJobName"),
    "FindApprovedModel": ("CreateProcessingJob", "ProcessingJobName"),
    "TrainModel": ("CreateTrainingJob", "TrainingJobName"),
    "EvaluateModel": ("CreateProcessingJob", "ProcessingJobName"),
}


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    return json.loads(definition_json(settings_module.Settings(), **CODE))


@pytest.fixture(scope="module")
def steps(definition) -> dict[str, dict[str, Any]]:
    found = {step["Name"]: step for step in definition["Steps"]}
    gate = found["CheckAccuracy"]["Arguments"]
    return found | {step["Name"]: step for branch in ("IfSteps", "ElseSteps") for step in gate[branch]}


def resolve(value: Any, parameters: Mapping[str, Any]) -> Any:
    """What the service would put in place of the variables."""
    if isinstance(value, list):
        return [resolve(item, parameters) for item in value]
    if not isinstance(value, dict):
        return value
    if "Get" in value:
        kind, _, rest = value["Get"].partition(".")
        if kind == "Parameters":
            return parameters[rest]
        if kind == "Execution":
            return "abcdefghijkl"
        return next(known for end, known in PROPERTIES.items() if rest.endswith(end))
    if "Std:Join" in value:
        join = value["Std:Join"]
        return join["On"].join(str(item) for item in resolve(join["Values"], parameters))
    if "Std:JsonGet" in value:
        return FILES[value["Std:JsonGet"]["Path"]]
    return {key: resolve(item, parameters) for key, item in value.items()}


@pytest.fixture(scope="module")
def parameters(definition) -> dict[str, Any]:
    return {parameter["Name"]: parameter["DefaultValue"] for parameter in definition["Parameters"]}


def test_steps_in_order(definition, steps):
    assert [(step["Name"], step["Type"]) for step in definition["Steps"]] == [
        ("PrepareData", "Processing"),
        ("FindApprovedModel", "Processing"),
        ("TrainModel", "Training"),
        ("EvaluateModel", "Processing"),
        ("CheckAccuracy", "Condition"),
    ]
    gate = steps["CheckAccuracy"]["Arguments"]
    assert [step["Type"] for step in gate["IfSteps"]] == ["RegisterModel"]  # and no training job that repacks
    assert [step["Type"] for step in gate["ElseSteps"]] == ["Fail"]


def test_pretraining_is_in_the_definition_only_where_it_is_asked_for(definition):
    asked = json.loads(definition_json(settings_module.Settings(pretrain=True), **CODE))
    for made, expected in ((definition, []), (asked, ["pretrain"])):
        found = {step["Name"]: step["Arguments"] for step in made["Steps"]}
        prepare, train = found["PrepareData"], found["TrainModel"]
        outputs = [output["OutputName"] for output in prepare["ProcessingOutputConfig"]["Outputs"]]
        channels = [channel["ChannelName"] for channel in train["InputDataConfig"]]
        assert outputs == ["train", "validation", "statistics", *expected]
        assert channels == ["train", "validation", *expected]
        assert ("--pretrain" in prepare["AppSpecification"]["ContainerArguments"]) == bool(expected)


def test_parameters(parameters):
    assert set(parameters) == {
        "DataSource",
        "AccuracyThreshold",
        "MaxAccuracyDrop",
        "ProcessingInstanceType",
        "TrainingInstanceType",
        "Epochs",
        "LearningRate",
        "BatchSize",
        "WeightDecay",
        "ModelApprovalStatus",
        "CodeRevision",
    }
    assert parameters["ModelApprovalStatus"] == "PendingManualApproval"


@pytest.mark.parametrize(
    ("step", "operation", "name"),
    [
        ("PrepareData", "CreateProcessingJob", "ProcessingJobName"),
        ("FindApprovedModel", "CreateProcessingJob", "ProcessingJobName"),
        ("EvaluateModel", "CreateProcessingJob", "ProcessingJobName"),
        ("TrainModel", "CreateTrainingJob", "TrainingJobName"),
        ("RegisterModel", "CreateModelPackage", None),
    ],
)
def test_request_satisfies_the_service_model(steps, parameters, step, operation, name):
    request = resolve(steps[step]["Arguments"], parameters)
    if name:  # given by the pipeline service
        request[name] = "pipelines-abcdefghijkl-step"
    model = botocore.session.get_session().get_service_model("sagemaker")
    check_request(model.operation_model(operation), request)


def test_jobs_are_cached_retried_and_limited(steps):
    for name in ("PrepareData", "TrainModel", "EvaluateModel"):
        step = steps[name]
        assert step["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
        retried = {kind for policy in step["RetryPolicies"] for kind in policy["ExceptionType"]}
        assert {"Step.THROTTLING", "SageMaker.CAPACITY_ERROR", "SageMaker.JOB_INTERNAL_ERROR"} <= retried
        assert step["Arguments"]["StoppingCondition"]["MaxRuntimeInSeconds"] > 0


def test_failure_says_both_numbers(steps, parameters):
    message = resolve(steps["AccuracyTooLow"]["Arguments"]["ErrorMessage"], parameters)
    assert message == (
        "The model was not registered. Its accuracy is 0.5, and AccuracyThreshold asks for "
        f"{parameters['AccuracyThreshold']}; it is 0.1 under the approved model's, and MaxAccuracyDrop "
        f"permits {parameters['MaxAccuracyDrop']}: "
        "the approved model scones/1 has 0.6000 on the same 10 images"
    )


def test_hyperparameters_are_what_the_toolkit_decodes(steps, parameters):
    values = resolve(steps["TrainModel"]["Arguments"]["HyperParameters"], parameters)
    decoded = {name: json.loads(value) for name, value in values.items()}
    assert decoded["sagemaker_program"] == "train.py"
    assert decoded["sagemaker_submit_directory"].endswith(f"{CODE['training'].digest}/sourcedir.tar.gz")
    assert decoded["classes"] == "bicycle,motorcycle"
    assert (decoded["epochs"], decoded["learning-rate"]) == (parameters["Epochs"], parameters["LearningRate"])


def test_what_is_approved_is_looked_up_each_time_and_part_of_the_evaluations_key(steps):
    assert "CacheConfig" not in steps["FindApprovedModel"]
    assert "CacheConfig" in steps["EvaluateModel"]
    text = json.dumps(steps["EvaluateModel"]["Arguments"])
    for key in ("model_package_arn", "model_data", "note"):
        assert f'"Path": "{key}"' in text


def test_code_revision_touches_no_cached_step(steps):
    for name in ("PrepareData", "TrainModel", "EvaluateModel"):
        assert "CodeRevision" not in json.dumps(steps[name])
    assert "CodeRevision" in json.dumps(steps["RegisterModel"])


def test_registration_says_where_the_model_comes_from(steps, parameters):
    request = resolve(steps["RegisterModel"]["Arguments"], parameters)
    assert request["CustomerMetadataProperties"] == {
        "classes": "bicycle motorcycle",
        "data_sha256": FILES["source.sha256"],
        "processing_code": CODE["processing"].digest,
        "training_code": CODE["training"].digest,
        "algorithm": "pytorch",
        "code_revision": "unspecified",
        "confidence_threshold": "0.83",
        "threshold_accuracy": "0.99",
        "threshold_coverage": "0.91",
    }
    assert request["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].endswith("/evaluation.json")
    (container,) = request["InferenceSpecification"]["Containers"]
    assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"


def test_settings_reach_the_definition():
    settings = settings_module.load(
        target="aws",
        bucket="my-bucket",
        role_arn="arn:aws-us-gov:iam::210987654321:role/x",
        prefix="team/scones",
        region="eu-west-3",
        pipeline_name="other",
        classes=("bus", "train", "tank"),
        training_instance_type="ml.g5.xlarge",
        epochs=3,
    )
    text = definition_json(settings, **CODE)
    assert "scones-local" not in text
    assert "us-east-1" not in text
    assert "s3://my-bucket/team/scones/executions" in text
    assert "bus,train,tank" in text
    assert "pytorch-training:2.6.0-gpu" in text  # to train
    assert "pytorch-training:2.6.0-cpu" in text  # to process


KEY = "arn:aws:kms:us-east-1:123456789012:key/1-2"
VPC = {"Subnets": ["subnet-1a"], "SecurityGroupIds": ["sg-1b"]}


def test_every_job_has_a_role_of_its_kind(steps):
    roles = {name: steps[name]["Arguments"]["RoleArn"].rpartition("/")[2] for name in JOBS}
    assert roles == {
        "PrepareData": "scones-processing",
        "TrainModel": "scones-training",
        "FindApprovedModel": "scones-processing",
        "EvaluateModel": "scones-processing",
    }


def test_vpc_key_and_isolation_reach_every_job(parameters):
    settings = settings_module.load(
        subnet_ids="subnet-1a", security_group_ids="sg-1b", network_isolation=True, kms_key_arn=KEY
    )
    document = json.loads(definition_json(settings, **CODE))
    jobs = {s["Name"]: resolve(s["Arguments"], parameters) for s in document["Steps"] if s["Name"] in JOBS}
    model = botocore.session.get_session().get_service_model("sagemaker")
    for name, (operation, job_name) in JOBS.items():
        check_request(model.operation_model(operation), jobs[name] | {job_name: "pipelines-x-y"})
    train = jobs["TrainModel"]
    assert (train["VpcConfig"], train["EnableNetworkIsolation"]) == (VPC, True)
    assert (train["OutputDataConfig"]["KmsKeyId"], train["ResourceConfig"]["VolumeKmsKeyId"]) == (KEY, KEY)
    # A container without a network gets its code from a channel.
    assert json.loads(train["HyperParameters"]["sagemaker_submit_directory"]).startswith(
        "/opt/ml/input/data/code/"
    )
    assert train["InputDataConfig"][-1]["ChannelName"] == "code"
    for name, isolated in (("PrepareData", False), ("FindApprovedModel", False), ("EvaluateModel", True)):
        assert jobs[name]["NetworkConfig"] == {"EnableNetworkIsolation": isolated, "VpcConfig": VPC}
        assert jobs[name]["ProcessingOutputConfig"]["KmsKeyId"] == KEY
        assert jobs[name]["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == KEY


def test_holds_no_path_of_this_machine(definition):
    text = json.dumps(definition)
    assert str(ROOT) not in text
    assert str(Path.home()) not in text


def build(folder: Path, **environment: str) -> bytes:
    """`scones pipeline definition` in another process, with no more environment than is given."""
    command = [sys.executable, "-m", "pipeline.cli", "pipeline", "definition"]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT), **environment}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr, done.stderr.decode()
    return done.stdout


def test_is_byte_identical_elsewhere(tmp_path):
    """Another folder, a home with hostile configuration, a dead proxy for anything that calls out."""
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "config").write_text(
        "[default]\nregion = mars-north-1\n[profile x]\nsso_session = gone\n"
    )
    (home / ".config" / "sagemaker").mkdir(parents=True)
    (home / ".config" / "sagemaker" / "config.yaml").write_text(
        "SchemaVersion: '1.0'\nSageMaker: {TrainingJob: {RoleArn: 'arn:aws:iam::999999999999:role/hostile'}}"
    )
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    here = build(ROOT)
    there = build(home, HOME=str(home), AWS_PROFILE="missing", PYTHONHASHSEED="7", TZ="Asia/Tokyo", **nowhere)
    assert here == there
    assert json.loads(here)["Version"] == "2020-12-01"


def test_calls_nothing(monkeypatch, settings):
    import socket

    def refuse(*_arguments: object) -> None:
        raise AssertionError("a definition was built over the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    before = dict(os.environ)
    definition_json(settings, **CODE)
    assert dict(os.environ) == before


def test_sdk_configuration_is_valid():
    from sagemaker.core.config.config_manager import SageMakerConfig

    SageMakerConfig.validate_sagemaker_config(json.loads(SDK_CONFIG.read_text()))
