"""The inference workflow's names from the settings, and which images it may read."""

import pytest
from botocore.exceptions import ClientError

from pipeline import inference, settings
from pipeline.inference import ImageError, NoWorkflowError


def test_names_come_from_the_settings():
    made = settings.load(
        target="aws",
        bucket="my-bucket",
        role_arn="arn:aws-cn:iam::210987654321:role/path/name",
        region="cn-north-1",
        endpoint_name_prefix="mine",
    )
    plan = inference.workflow_plan(made, "mine-1", 0.7)
    assert plan.state_machine_arn == "arn:aws-cn:states:cn-north-1:210987654321:stateMachine:mine-inference"
    assert (plan.bucket, plan.endpoint_name, plan.threshold) == ("my-bucket", "mine-1", 0.7)


def test_files_go_to_s3_under_their_content(clients, settings, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"picture")
    clients.expect("s3", "put_object", {})
    (key,) = inference.image_keys(clients("s3"), settings, [str(path)])
    assert key.startswith("scones/inference/")
    assert key.endswith("/a.png")


def test_a_bucket_that_is_not_there_says_what_to_run(clients, settings, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"picture")
    clients.refuse("s3", "put_object", "NoSuchBucket")
    with pytest.raises(ImageError, match="run `scones foundation deploy`"):
        inference.image_keys(clients("s3"), settings, [str(path)])


def test_objects_are_taken_as_they_are(clients, settings):
    uri = f"s3://{settings.bucket}/scones/inference/x.png"
    assert inference.image_keys(clients("s3"), settings, [uri]) == ["scones/inference/x.png"]


@pytest.mark.parametrize(
    "image", ["s3://other/scones/inference/x.png", "s3://scones-local/elsewhere/x.png", "gone.png"]
)
def test_what_it_may_not_read(clients, settings, image):
    with pytest.raises(ImageError, match=image):
        inference.image_keys(clients("s3"), settings, [image])


def test_missing_state_machine(clients):
    clients.refuse("stepfunctions", "start_execution", "StateMachineDoesNotExist")
    with pytest.raises(NoWorkflowError, match="run `scones workflow deploy`"), inference.deployed_workflow():
        clients("stepfunctions").start_execution(stateMachineArn="arn:aws:states:us-east-1:1:stateMachine:x")


def stack(now, outputs):
    found = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    described = {"StackName": "scones-inference", "CreationTime": now, "StackStatus": "UPDATE_COMPLETE"}
    return {"Stacks": [described | {"Outputs": found}]}


@pytest.mark.parametrize("outputs", [{}, {"EndpointName": "gone"}])
def test_classes_without_an_endpoint(clients, settings, now, outputs):
    clients.expect(
        "cloudformation", "describe_stacks", stack(now, outputs), {"StackName": "scones-inference"}
    )
    if outputs:
        clients.refuse(
            "sagemaker", "describe_endpoint", "ValidationException", 'Could not find endpoint "gone"'
        )
    assert inference.classes(clients, settings) == settings.classes


def test_classes_without_the_package(clients, settings, now, monkeypatch):
    clients.expect("cloudformation", "describe_stacks", stack(now, {"EndpointName": "served"}))

    def gone(*_):
        details = {"Code": "ValidationException", "Message": "ModelPackage scones/1 does not exist."}
        raise ClientError({"Error": details}, "DescribeModelPackage")

    monkeypatch.setattr(inference.predictions, "deployed_classes", gone)
    assert inference.classes(clients, settings) == settings.classes


def test_classes_are_those_of_the_endpoint_that_the_workflow_asks(clients, settings, now, monkeypatch):
    clients.expect("cloudformation", "describe_stacks", stack(now, {"EndpointName": "deployed"}))
    served = {"deployed": ("bus", "train")}
    monkeypatch.setattr(inference.predictions, "deployed_classes", lambda _, name: served[name])
    assert inference.classes(clients, settings) == ("bus", "train")
