"""`scones destroy` and the models that a pipeline's executions leave behind."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

from typer.testing import CliRunner

from lambdas.deployer import handler as deployer
from pipeline import objects
from pipeline.cli import app
from tests.functional.endpoints import BUCKET, Endpoints
from tests.functional.jobs import IMAGE, ROLE
from tests.functional.test_pipeline_engine import create, finished, steps_of


def create_model(name):
    container = {"Image": IMAGE}
    return {
        "Name": name,
        "Type": "Model",
        "Arguments": {"ExecutionRoleArn": ROLE, "PrimaryContainer": container},
    }


def executed(sagemaker, pipeline):
    """The name of the model that an execution made."""
    arn = sagemaker.start_pipeline_execution(PipelineName=pipeline)["PipelineExecutionArn"]
    assert finished(sagemaker, arn)["PipelineExecutionStatus"] == "Succeeded"
    return steps_of(sagemaker, arn)["CreateModel"]["Metadata"]["Model"]["Arn"].rpartition("/")[2]


def models(sagemaker):
    pages = sagemaker.get_paginator("list_models").paginate()
    return {model["ModelName"] for page in pages for model in page["Models"]}


def test_the_models_of_its_own_executions_go_and_no_others(client, local_aws, monkeypatch, tmp_path):
    sagemaker, name = client("sagemaker"), f"destroy-{uuid.uuid4().hex[:8]}"
    pipeline, other = (
        create(sagemaker, create_model("CreateModel")),
        create(sagemaker, create_model("CreateModel")),
    )
    own = {executed(sagemaker, pipeline), executed(sagemaker, pipeline)}
    foreign = executed(sagemaker, other)
    execution = next(iter(own)).split("-")[1]
    by_hand = {f"pipelines-{execution}-mine", f"mine-pipelines-{execution}-CreateModel-x", f"pipelines{name}"}
    for model in by_hand:
        sagemaker.create_model(ModelName=model, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE})
    assert all(model.startswith("pipelines-") for model in own)
    before = models(sagemaker)
    assert own | by_hand | {foreign} <= before

    for key in ("BUCKET", "MODEL_PACKAGE_GROUP", "ENDPOINT_NAME_PREFIX"):
        monkeypatch.setenv(f"SCONES_{key}", name)
    monkeypatch.setenv("SCONES_PIPELINE_NAME", pipeline)
    monkeypatch.chdir(tmp_path)
    asked = CliRunner().invoke(app, ["destroy"])
    assert asked.exit_code == 1
    assert models(sagemaker) == before
    assert all(model in asked.stdout for model in own)
    assert not any(model in asked.stdout for model in (foreign, *by_hand))

    done = CliRunner().invoke(app, ["destroy", "--yes"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"removed pipeline {pipeline}" in done.stdout
    assert models(sagemaker) == before - own
    listed = json.dumps(sagemaker.list_pipelines()["PipelineSummaries"], default=str)
    assert (pipeline in listed, other in listed) == (False, True)


def test_endpoints_that_come_and_go_take_no_order_and_are_gone_in_the_end(client, monkeypatch, tmp_path):
    client("s3").create_bucket(Bucket=BUCKET)
    made, prefix = Endpoints(client), f"way-{uuid.uuid4().hex[:8]}"
    config, names = made.config(made.model()), [deployer.unique_name(prefix) for _ in range(2)]
    leaves, comes = names
    foreign, clarifys = deployer.unique_name(f"{prefix}-eu"), f"{prefix}-clarify-1795-left"
    for name in (*names, foreign, clarifys):
        made.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        if name == leaves:
            made.wait(name, "InService")
            made.sagemaker.delete_endpoint(EndpointName=name)
    for key in ("BUCKET", "MODEL_PACKAGE_GROUP", "ENDPOINT_NAME_PREFIX", "PIPELINE_NAME"):
        monkeypatch.setenv(f"SCONES_{key}", prefix)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["destroy", "--yes"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"removed endpoint {comes}" in done.stdout
    assert f"removed endpoint {clarifys}" in done.stdout
    left = made.sagemaker.list_endpoints(NameContains=prefix)["Endpoints"]
    assert [endpoint["EndpointName"] for endpoint in left] == [foreign]


def test_a_bucket_of_many_objects_and_versions_is_emptied(client, local_aws):
    s3, bucket = client("s3"), f"many-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    keys = [f"left/{number:03}" for number in range(510)] + ["gone/0"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key), keys + keys))
    s3.delete_object(Bucket=bucket, Key="gone/0")
    assert objects.empty(s3, bucket, "gone/") == 3
    assert objects.empty(s3, bucket) == 2 * 510  # more than one page of 1,000
    s3.delete_bucket(Bucket=bucket)
