"""The pipeline's tuning variant on the local AWS: the best job's model is evaluated and registered."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from pipeline import clients as clients_module
from pipeline import registry, runs, tuning, tuning_figure
from pipeline import settings as settings_module
from pipeline.archives import upload
from processing.synthetic import write_archive
from tests.functional.test_training_jobs import members

QUICK = {"Epochs": "1", "AccuracyThreshold": "0"}
RANGES = {"learning_rate": (0.01, 0.3), "width": (6, 12), "augmentation": (0.5, 1)}


@pytest.fixture(scope="module")
def settings():
    name = "tuning-tests"
    return settings_module.load(
        bucket=name,
        pipeline_name=name,
        model_package_group=name,
        endpoint_name_prefix=name,
        tuning={"max_jobs": 2, "ranges": RANGES},
    )


@pytest.fixture(scope="module")
def clients(local_aws, settings):
    return clients_module.connect(settings)


@pytest.fixture(scope="module")
def parameters(clients, settings, tmp_path_factory):
    runs.upsert(clients, settings)
    path = tmp_path_factory.mktemp("archive") / "small.tar.gz"
    write_archive(path, seed=1, train_per_class=12, test_per_class=6)
    return QUICK | {"DataSource": upload(clients("s3"), settings, path)}


def execute(clients, settings, parameters):
    arn = runs.start(clients, settings, parameters)
    *_, (execution, steps) = runs.watch(clients("sagemaker"), arn, 0.2)
    runs.require_success(execution, steps)
    return {step.name: step for step in steps}


@pytest.fixture(scope="module")
def steps(clients, settings, parameters):
    return execute(clients, settings, parameters)


@pytest.fixture(scope="module")
def tuned(steps, clients, settings):
    return tuning.describe(clients("sagemaker"), tuning.find(clients, settings, None))


def test_best_model_is_the_one_registered(steps, tuned, clients, settings):
    names = [
        "PrepareData",
        "FindApprovedModel",
        "TuneModel",
        "EvaluateModel",
        "CheckAccuracy",
        "RegisterModel",
    ]
    assert list(steps) == names
    package = clients("sagemaker").describe_model_package(ModelPackageName=steps["RegisterModel"].made)
    (container,) = package["InferenceSpecification"]["Containers"]
    best = clients("sagemaker").describe_training_job(TrainingJobName=tuned.best)
    assert container["ModelDataUrl"] == best["ModelArtifacts"]["S3ModelArtifacts"]
    card = json.loads(members(clients, container["ModelDataUrl"])["model.json"])
    chosen = next(trial for trial in tuned.trials if trial.job == tuned.best).hyperparameters
    assert card["channels"][0] == int(chosen["width"])
    assert card["trained"]["hyperparameters"]["learning_rate"] == float(chosen["learning-rate"])
    found = registry.find(clients("sagemaker"), settings.model_package_group, steps["RegisterModel"].made)
    assert registry.describe(clients, found).metadata["tuning_job"] == tuned.name


def test_objective_is_no_measure_of_the_test_images(tuned, clients):
    """Twelve images a class are trained on; the metric is the cross-validation's over just these 24."""
    assert (tuned.status, tuned.objective) == ("Completed", "heldout:accuracy")
    for trial in tuned.trials:
        job = clients("sagemaker").describe_training_job(TrainingJobName=trial.job)
        metrics = {each["MetricName"]: each["Value"] for each in job["FinalMetricDataList"]}
        assert trial.value == metrics["heldout:accuracy"]
        assert trial.value * 24 == pytest.approx(round(trial.value * 24), abs=2e-3)


def test_rows_are_best_first(tuned):
    rows = tuned.rows()
    assert [row["job"] for row in rows] == [trial.job for trial in tuned.ranked()]
    assert rows[0]["job"] == tuned.best
    values = [row["heldout:accuracy"] for row in rows]
    assert values == sorted(values, reverse=True)
    assert all(6 <= row["width"] <= 12 and 0.01 <= row["learning-rate"] <= 0.3 for row in rows)


def test_picture_and_references(tuned, clients, settings):
    with Image.open(io.BytesIO(tuning_figure.draw(tuned))) as picture:
        assert picture.format == "PNG"
    newest = runs.newest(clients, settings)
    for reference in (newest.arn, newest.id, tuned.name):
        assert tuning.find(clients, settings, reference) == tuned.name
    with pytest.raises(tuning.NoTuningJobError, match="there is no tuning job no-such"):
        tuning.describe(clients("sagemaker"), "no-such")


def test_tuning_comes_from_the_cache(steps, clients, settings, parameters):
    again = execute(clients, settings, parameters)
    assert again["TuneModel"].cached
    assert again["EvaluateModel"].cached
    assert again["TuneModel"].made == steps["TuneModel"].made


def test_stopped_execution_stops_its_tuning_job(steps, clients, settings, parameters):
    sagemaker = clients("sagemaker")
    arn = runs.start(clients, settings, parameters | {"Epochs": "500"})
    for _, found in runs.watch(sagemaker, arn, 0.1):
        if any(step.name == "TuneModel" and step.made for step in found):
            runs.stop(sagemaker, arn)
            break
    *_, (execution, _) = runs.watch(sagemaker, arn, 0.2)
    assert execution.status == "Stopped"
    stopped = tuning.describe(sagemaker, tuning.find(clients, settings, arn))
    assert stopped.status == "Stopped"
    assert {trial.status for trial in stopped.trials} <= {"Stopped"}
