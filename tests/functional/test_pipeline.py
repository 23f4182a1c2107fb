"""The real definition on the local AWS: real jobs, cached steps, the gate, the registry, an endpoint."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from pipeline import clients as clients_module
from pipeline import (
    deployment,
    endpoints,
    environments,
    logs,
    pictures,
    predictions,
    registry,
    runs,
    smoke,
    thresholds,
)
from pipeline import settings as settings_module
from pipeline.archives import upload
from processing.synthetic import write_archive
from tests.waiting import wait_for

# One epoch on few images: what is tested is the way, not the accuracy.
QUICK = {"Epochs": "1", "AccuracyThreshold": "0"}


@pytest.fixture(scope="module")
def settings():
    name = "pipeline-tests"
    return settings_module.load(
        bucket=name, pipeline_name=name, model_package_group=name, endpoint_name_prefix=name
    )


@pytest.fixture(scope="module")
def clients(local_aws, settings):
    return clients_module.connect(settings)


@pytest.fixture(scope="module")
def upserted(clients, settings):
    return runs.upsert(clients, settings)


@pytest.fixture(scope="module")
def archive(upserted, clients, settings, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("archive") / "small.tar.gz"
    write_archive(path, seed=1, train_per_class=24, test_per_class=12)
    return upload(clients("s3"), settings, path)


def execute(clients, settings, parameters):
    return watched(clients, runs.start(clients, settings, parameters))


def execute_anyhow(clients, settings, parameters):
    """With what `runs.start` would not take."""
    started = clients("sagemaker").start_pipeline_execution(
        PipelineName=settings.pipeline_name,
        PipelineParameters=[{"Name": name, "Value": value} for name, value in parameters.items()],
    )
    return watched(clients, started["PipelineExecutionArn"])


def watched(clients, arn):
    *_, (execution, steps) = runs.watch(clients("sagemaker"), arn, 0.2)
    return execution, {step.name: step for step in steps}


@pytest.fixture(scope="module")
def succeeded(clients, settings, archive):
    execution, steps = execute(clients, settings, QUICK | {"DataSource": archive, "CodeRevision": "abc"})
    runs.require_success(execution, list(steps.values()))
    return steps


def test_training_on_spot_instances_goes_on_where_it_was_taken_away(clients, settings, archive):
    """In another execution, too; a checkpoint of other hyperparameters is left alone."""
    spot = settings.model_copy(update={"pipeline_name": "pipeline-tests-spot", "spot": True})
    runs.upsert(clients, spot)

    def said(arn, text):
        step = next(
            (step for step in runs.steps(clients("sagemaker"), arn) if step.name == "TrainModel"), None
        )
        if step is None or step.made is None:
            return None
        lines = list(logs.lines(clients("logs"), logs.of_step([step]), lambda: False))
        return next((line for line in lines if text in line), None)

    def interrupted(epochs, text):
        arn = runs.start(clients, spot, {"DataSource": archive, "Epochs": epochs})
        found = wait_for(lambda: said(arn, text), text)
        runs.stop(clients("sagemaker"), arn)
        wait_for(lambda: runs.describe(clients("sagemaker"), arn).status == "Stopped", "the stop")
        return arn, found

    first, _ = interrupted("3000", "epoch=12 ")
    assert said(first, "its state is kept")
    _, line = interrupted("3000", "going on from")
    assert int(line.split(" after ")[1].split()[0]) >= 11
    third, _ = interrupted("2999", "epoch=2 ")
    assert said(third, "going on from") is None


def test_upsert_of_the_same_changes_nothing(upserted, clients, settings):
    assert upserted.change == "created"
    assert any(uri.endswith("/sourcedir.tar.gz") for uri in upserted.uploaded)
    described = clients("sagemaker").describe_pipeline(PipelineName=settings.pipeline_name)
    again = runs.upsert(clients, settings)
    assert (again.change, again.uploaded, again.arn) == ("unchanged", [], upserted.arn)
    assert (
        clients("sagemaker").describe_pipeline(PipelineName=settings.pipeline_name)["LastModifiedTime"]
        == described["LastModifiedTime"]
    )


def test_execution_goes_through_every_step(succeeded):
    assert [name for name, step in succeeded.items() if step.status == "Succeeded"] == [
        "PrepareData",
        "FindApprovedModel",
        "TrainModel",
        "EvaluateModel",
        "CheckAccuracy",
        "RegisterModel",
    ]
    assert not any(step.cached for step in succeeded.values())


def test_package_says_where_it_comes_from(succeeded, clients, settings, archive):
    package = registry.find(
        clients("sagemaker"), settings.model_package_group, succeeded["RegisterModel"].made
    )
    details = registry.describe(clients, package)
    assert details.status == "PendingManualApproval"
    assert details.metadata["data_sha256"] in archive
    assert details.metadata["code_revision"] == "abc"
    assert details.images == 24
    assert details.comparison["summary"] == "no model is approved yet"
    threshold = details.metadata["confidence_threshold"]
    assert threshold == "none" or 0 < float(threshold) <= 1
    assert details.metadata["threshold_accuracy"] == "0.99"
    assert 0 <= details.accuracy <= 1
    assert details.hyperparameters["classes"] == "bicycle,motorcycle"
    drawn = pictures.of_package(clients, details)
    assert set(drawn) == set(pictures.ALL)
    assert all(picture.startswith(b"\x89PNG") for picture in drawn.values())


def test_training_metrics_are_found_in_its_log(succeeded, clients):
    name = succeeded["TrainModel"].made.rsplit("/", 1)[-1]
    job = clients("sagemaker").describe_training_job(TrainingJobName=name)
    metrics = {metric["MetricName"] for metric in job["FinalMetricDataList"]}
    assert metrics == {
        f"{images}:{what}" for images in ("train", "validation", "heldout") for what in ("loss", "accuracy")
    }


def test_steps_come_from_the_cache_whatever_the_commit(succeeded, clients, settings, archive):
    execution, steps = execute(clients, settings, QUICK | {"DataSource": archive, "CodeRevision": "def"})
    assert execution.status == "Succeeded"
    cached = {name for name, step in steps.items() if step.cached}
    assert cached == {"PrepareData", "TrainModel", "EvaluateModel"}
    package = registry.find(clients("sagemaker"), settings.model_package_group, steps["RegisterModel"].made)
    assert registry.describe(clients, package).metadata["code_revision"] == "def"


def test_gate_fails_with_both_numbers_and_registers_nothing(succeeded, clients, settings, archive):
    before = registry.packages(clients("sagemaker"), settings.model_package_group)
    # More than there is, so that no model passes.
    execution, steps = execute_anyhow(
        clients, settings, {"Epochs": "1", "DataSource": archive, "AccuracyThreshold": "1.5"}
    )
    with pytest.raises(
        runs.ExecutionFailedError,
        match=r"AccuracyTooLow: .* Its accuracy is [01]\.\d*, and AccuracyThreshold asks for 1\.5;",
    ):
        runs.require_success(execution, list(steps.values()))
    assert registry.packages(clients("sagemaker"), settings.model_package_group) == before


def test_broken_archive_is_told_in_the_jobs_own_words(upserted, clients, settings, tmp_path):
    path = tmp_path / "broken.tar.gz"
    path.write_bytes(b"this is no archive")
    execution, steps = execute(clients, settings, {"DataSource": upload(clients("s3"), settings, path)})
    with pytest.raises(runs.ExecutionFailedError, match=r"ended as Failed: PrepareData: .*broken\.tar\.gz"):
        runs.require_success(execution, list(steps.values()))


def test_crash_in_training_is_told_in_its_own_words(succeeded, clients, settings, archive):
    execution, steps = execute_anyhow(clients, settings, QUICK | {"DataSource": archive, "BatchSize": "1"})
    with pytest.raises(runs.ExecutionFailedError, match=r"TrainModel: .*batch.size"):
        runs.require_success(execution, list(steps.values()))


def test_unknown_parameter_is_refused(upserted, clients, settings):
    with pytest.raises(ClientError, match="Epocs"):
        runs.start(clients, settings, {"Epocs": "1"})


def test_stop(upserted, clients, settings, archive):
    arn = runs.start(clients, settings, {"DataSource": archive, "Epochs": "500"})
    for _, steps in runs.watch(clients("sagemaker"), arn, 0.1):
        if any(step.name == "TrainModel" and step.status == "Executing" for step in steps):
            runs.stop(clients("sagemaker"), arn)
            break
    *_, (execution, _) = runs.watch(clients("sagemaker"), arn, 0.2)
    assert execution.status == "Stopped"


def test_deploy_needs_an_approval(succeeded, clients, settings):
    reference = succeeded["RegisterModel"].made
    with pytest.raises(registry.NoPackageError, match="PendingManualApproval: approve it first"):
        registry.approved(clients("sagemaker"), settings.model_package_group, reference)


@pytest.fixture(scope="module")
def endpoint(succeeded, clients, settings):
    sagemaker = clients("sagemaker")
    package = registry.find(sagemaker, settings.model_package_group, succeeded["RegisterModel"].made)
    registry.decide(sagemaker, package, "Approved", "for the tests")
    approved = registry.approved(sagemaker, settings.model_package_group, str(package.version))
    return deployment.deploy(clients, settings, approved).endpoint


def test_endpoint_answers(endpoint, clients, settings):
    smoke.ask_about_noise(clients, settings, endpoint)
    buffer = io.BytesIO()
    Image.new("RGB", (48, 40), (200, 30, 30)).save(buffer, "JPEG")
    answer = predictions.predict(clients, settings, endpoint, buffer.getvalue(), "image/jpeg")
    assert answer.classes == ("bicycle", "motorcycle")
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-4)
    assert environments.chosen(clients, settings, None) == endpoint


def test_threshold_is_that_of_the_package_that_serves(endpoint, clients, settings):
    package = registry.approved(clients("sagemaker"), settings.model_package_group)
    recommended = registry.describe(clients, package).metadata["confidence_threshold"]
    found = thresholds.of_endpoint(clients("sagemaker"), settings, endpoint)
    assert found.value == (thresholds.FALLBACK if recommended == "none" else float(recommended))
    assert f"{settings.model_package_group}/{package.version}" in found.origin


def test_endpoint_refuses_what_is_no_image(endpoint, clients):
    with pytest.raises(predictions.PredictError, match=f"the model at {endpoint} refused the request"):
        predictions.invoke(clients("sagemaker-runtime"), endpoint, b"no image", "image/png")


def test_endpoint_that_does_not_exist(upserted, clients):
    with pytest.raises(endpoints.NoEndpointError, match="there is no endpoint nowhere"):
        predictions.invoke(clients("sagemaker-runtime"), "nowhere", b"", "image/png")
    with pytest.raises(endpoints.NoEndpointError, match="there is no endpoint nowhere"):
        endpoints.delete(clients("sagemaker"), "nowhere")


def test_a_new_model_is_compared_with_the_approved_one(endpoint, clients, settings, archive):
    """An approval is part of EvaluateModel's cache key: once it is made, the next one is new."""
    approved = registry.approved(clients("sagemaker"), settings.model_package_group)
    parameters = QUICK | {"DataSource": archive, "MaxAccuracyDrop": "0"}
    _, steps = execute(clients, settings, parameters)
    assert {name for name, step in steps.items() if step.cached} == {"PrepareData", "TrainModel"}
    package = registry.find(clients("sagemaker"), settings.model_package_group, steps["RegisterModel"].made)
    comparison = registry.describe(clients, package).comparison
    assert comparison["model_package_arn"] == approved.arn
    assert (comparison["images"], comparison["accuracy_drop"], comparison["p_value"]) == (24, 0, 1)
    _, steps = execute(clients, settings, parameters)
    assert {name for name, step in steps.items() if step.cached} == {
        "PrepareData",
        "TrainModel",
        "EvaluateModel",
    }


def test_a_model_that_cannot_be_compared_passes_only_where_any_drop_may(endpoint, clients, settings, archive):
    """Its data is gone."""
    sagemaker = clients("sagemaker")
    approved = registry.approved(sagemaker, settings.model_package_group)
    specification = sagemaker.describe_model_package(ModelPackageName=approved.arn)["InferenceSpecification"]
    container = {"Image": specification["Containers"][0]["Image"]}
    place = {"Bucket": settings.bucket, "Key": "gone/model.tar.gz"}
    container["ModelDataUrl"] = f"s3://{settings.bucket}/gone/model.tar.gz"
    clients("s3").put_object(**place, Body=b"soon gone")
    gone = sagemaker.create_model_package(
        ModelPackageGroupName=settings.model_package_group,
        InferenceSpecification=specification | {"Containers": [container]},
        ModelApprovalStatus="Approved",
    )["ModelPackageArn"]
    clients("s3").delete_object(**place)
    try:
        strict = QUICK | {"DataSource": archive, "MaxAccuracyDrop": "0"}
        execution, steps = execute(clients, settings, strict)
        with pytest.raises(
            runs.ExecutionFailedError,
            match=r"AccuracyTooLow: .* it is 1.0 under the approved model's, and MaxAccuracyDrop permits "
            r"0.0: the approved model pipeline-tests/\d+ cannot be compared, which counts as a drop of 1: "
            r"nothing is at s3://",
        ):
            runs.require_success(execution, list(steps.values()))
        execution, _ = execute(clients, settings, QUICK | {"DataSource": archive})
        assert execution.status == "Succeeded"
    finally:
        sagemaker.delete_model_package(ModelPackageName=gone)


def test_delete_leaves_everything_else(endpoint, clients, settings):
    sagemaker = clients("sagemaker")
    package = registry.approved(sagemaker, settings.model_package_group)
    other = deployment.deploy(clients, settings, package, new=True).endpoint
    removed = endpoints.delete_all(clients, settings, other)
    assert removed[:3] == [f"endpoint {other}", f"endpoint config {other}", f"model {other}"]
    assert endpoints.describe(sagemaker, endpoint)["EndpointStatus"] == "InService"
    assert sagemaker.describe_model(ModelName=endpoint)["ModelName"] == endpoint


def test_stored_definition_is_the_printed_one(upserted, clients, settings):
    from pipeline.definition import definition_json

    stored = clients("sagemaker").describe_pipeline(PipelineName=settings.pipeline_name)
    assert json.loads(stored["PipelineDefinition"]) == json.loads(definition_json(settings))
    assert Path.cwd().as_posix() not in stored["PipelineDefinition"]
