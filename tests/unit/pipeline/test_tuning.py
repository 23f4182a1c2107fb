"""The tuning variant: its setting, its definition, its results and their picture."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import botocore.session
import pytest
from matplotlib.figure import Figure
from PIL import Image

from localaws.sagemaker.checks import check_request
from localaws.sagemaker.tuning.checks import check
from pipeline import cost, tuning
from pipeline import settings as settings_module
from pipeline.definition import definition_json
from pipeline.search import Tuning
from pipeline.tuning_figure import NothingToDrawError, draw
from tests.unit.pipeline.test_definition import CODE, KEY, VPC, resolve

NAMES = {"learning-rate", "batch-size", "weight-decay", "width", "augmentation"}


def load(**options):
    return settings_module.load(tuning=True, **options)


def built(settings):
    """The definition's document, and the tuning job's request as the service would get it."""
    document = json.loads(definition_json(settings, **CODE))
    parameters = {each["Name"]: each["DefaultValue"] for each in document["Parameters"]}
    steps = {step["Name"]: step for step in document["Steps"]}
    request = resolve(steps["TuneModel"]["Arguments"], parameters)
    return document, request | {"HyperParameterTuningJobName": "abcdefghijkl-TuneModel"}


# --- the setting ---


def test_off_unless_asked_for(monkeypatch):
    assert settings_module.load().tuning is None
    monkeypatch.setenv("SCONES_TUNING", "true")
    assert settings_module.load().tuning == Tuning()
    monkeypatch.setenv("SCONES_TUNING", "false")
    assert settings_module.load().tuning is None


def test_table_in_the_file(tmp_path):
    (tmp_path / "scones.toml").write_text("[tuning]\nmax_jobs = 4\n[tuning.ranges]\ncutout = [0, 0.4]\n")
    found = settings_module.load().tuning
    assert (found.max_jobs, found.ranges, found.scaling("cutout")) == (4, {"cutout": (0, 0.4)}, "Linear")


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ({"lerning_rate": [0.1, 1]}, "lerning_rate cannot be tuned"),
        ({"seed": [1, 9]}, "seed cannot be tuned"),
        ({"width": [8.5, 16]}, "width takes whole numbers"),
        ({"width": [16, 8]}, "width from 16 to 8 is no range"),
        ({"label_smoothing": [0.5, 2]}, "between 0 and 0.9"),
        ({}, "name at least one"),
    ],
)
def test_ranges_that_make_no_sense(ranges, said):
    with pytest.raises(settings_module.SettingsError, match=said):
        settings_module.load(tuning={"ranges": ranges})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hyperparameters": {"calibration_folds": 0}}, "heldout:accuracy, which tuning looks at, needs"),
        ({"hyperparameters": {"calibration-folds": "0"}}, "needs calibration_folds"),
        ({"tuning": {"ranges": {"fine_tuning": [0.1, 1]}}}, "fine_tuning means nothing without pretrain"),
        (
            {"tuning": {"ranges": {"cutmix": [0, 1]}}, "hyperparameters": {"cutmix": 0.2}},
            "cutmix is tuned: leave out its value",
        ),
    ],
)
def test_a_search_that_would_find_nothing_is_refused(options, said):
    with pytest.raises(settings_module.SettingsError, match=said):
        settings_module.load(**{"tuning": True} | options)


def test_pretraining_may_be_tuned():
    assert settings_module.load(pretrain=True, tuning={"ranges": {"fine_tuning": [0.1, 1]}}).tuning


# --- the definition ---


@pytest.mark.parametrize("seed", [0, 2**31 - 2, 2**33])
def test_any_seed_gives_one_that_the_service_takes(seed):
    _, request = built(settings_module.load(tuning=True, seed=seed))
    assert 1 <= request["HyperParameterTuningJobConfig"]["RandomSeed"] < 2**31


@pytest.mark.parametrize("tuning", [False, True])
def test_spot_instances_keep_their_checkpoints(tuning):
    settings = settings_module.load(
        bucket="own", spot=True, training_timeout_seconds=600, spot_wait_seconds=60, tuning=tuning
    )
    steps = {step["Name"]: step["Arguments"] for step in json.loads(definition_json(settings))["Steps"]}
    name = "TuneModel" if tuning else "TrainModel"
    job = steps[name]["TrainingJobDefinition"] if tuning else steps[name]
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 660}
    assert job["CheckpointConfig"]["S3Uri"] == f"s3://own/scones/executions/checkpoints/scones/{name}"


def test_tuning_stands_in_for_training():
    document, request = built(load())
    assert [
        step["Name"] for step in document["Steps"] if "Tun" in step["Name"] or "Train" in step["Name"]
    ] == ["TuneModel"]
    model = botocore.session.get_session().get_service_model("sagemaker")
    check_request(model.operation_model("CreateHyperParameterTuningJob"), request)
    check(request)
    ranges = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert {each["Name"] for member in ranges.values() for each in member} == NAMES
    # What is tuned can be set no more; what is not still can.
    names = {each["Name"] for each in document["Parameters"]}
    assert not {"LearningRate", "BatchSize", "WeightDecay"} & names
    assert "Epochs" in names


def test_objective_is_none_of_the_validation_channels():
    _, request = built(load())
    assert request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"] == {
        "Type": "Maximize",
        "MetricName": "heldout:accuracy",
    }
    _, request = built(settings_module.load(tuning={"objective": "heldout:loss"}))
    assert request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] == "Minimize"
    with pytest.raises(settings_module.SettingsError):
        settings_module.load(tuning={"objective": "validation:accuracy"})


def test_no_metrics_name_ends_in_another():
    """Each is searched for anywhere in a line."""
    _, request = built(load())
    names = [
        each["Name"]
        for each in request["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    ]
    assert [(a, b) for a in names for b in names if a != b and a.endswith(b)] == []


def test_best_jobs_model_goes_on():
    document, _ = built(load())
    text = json.dumps(document)
    assert (
        text.count("Steps.TuneModel.BestTrainingJob.TrainingJobName") == 2
    )  # to be evaluated and registered
    assert "Steps.TrainModel" not in text
    assert "Steps.TuneModel.HyperParameterTuningJobName" in text


def test_vpc_key_and_isolation_reach_the_training_jobs():
    settings = load(
        subnet_ids="subnet-1a", security_group_ids="sg-1b", network_isolation=True, kms_key_arn=KEY
    )
    definition = built(settings)[1]["TrainingJobDefinition"]
    assert (definition["VpcConfig"], definition["EnableNetworkIsolation"]) == (VPC, True)
    assert definition["ResourceConfig"]["VolumeKmsKeyId"] == KEY
    assert definition["OutputDataConfig"]["KmsKeyId"] == KEY
    assert definition["InputDataConfig"][-1]["ChannelName"] == "code"


def test_definition_is_the_same_each_time():
    assert definition_json(load(), **CODE) == definition_json(load(), **CODE)


def test_cost_counts_every_training_job():
    table = cost.prices()
    plain = {line.what: line for line in cost.execution(settings_module.load(), table)}
    found = {line.what: line for line in cost.execution(settings_module.load(tuning={"max_jobs": 7}), table)}
    assert plain.keys() - found.keys() == {"TrainModel"}
    one, many = plain["TrainModel"], found["TuneModel"]
    assert many.dollars == pytest.approx(7 * one.dollars)
    assert many.assumption.startswith("7 training jobs")


# --- the results ---


def expect_job(clients, now, values, status="Completed", kind="Maximize"):
    """A tuning job with these values of its objective, None for a failed training job."""
    objective = {"Type": kind, "MetricName": "heldout:accuracy"}
    summaries = []
    for number, value in enumerate(values, start=1):
        summary = {
            "TrainingJobName": f"t-{number:03}",
            "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/t-{number:03}",
            "CreationTime": now,
            "TrainingStartTime": now,
            "TrainingEndTime": now + timedelta(seconds=90),
            "TrainingJobStatus": "Failed" if value is None else "Completed",
            "TunedHyperParameters": {"learning-rate": str(0.01 * number), "optimiser": "muon"},
        }
        if value is None:
            summary["FailureReason"] = "AlgorithmError: out of\nbicycles"
        else:
            summary["FinalHyperParameterTuningJobObjectiveMetric"] = objective | {"Value": value}
        summaries.append(summary)
    scored = [each for each in summaries if each["TrainingJobStatus"] == "Completed"]
    job = {
        "HyperParameterTuningJobName": "t",
        "HyperParameterTuningJobArn": "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/t",
        "HyperParameterTuningJobStatus": status,
        "CreationTime": now,
        "TrainingJobStatusCounters": {},
        "ObjectiveStatusCounters": {},
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": objective,
            "ResourceLimits": {"MaxParallelTrainingJobs": 1},
            "ParameterRanges": {
                "ContinuousParameterRanges": [
                    {
                        "Name": "learning-rate",
                        "MinValue": "0.01",
                        "MaxValue": "1",
                        "ScalingType": "Logarithmic",
                    }
                ],
                "CategoricalParameterRanges": [{"Name": "optimiser", "Values": ["muon"]}],
            },
        },
    }
    if scored:
        best = max if kind == "Maximize" else min
        job["BestTrainingJob"] = best(
            scored, key=lambda each: each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
        )
    clients.expect("sagemaker", "describe_hyper_parameter_tuning_job", job)
    half = len(summaries) // 2
    listing = "list_training_jobs_for_hyper_parameter_tuning_job"
    clients.expect("sagemaker", listing, {"TrainingJobSummaries": summaries[:half], "NextToken": "more"})
    clients.expect("sagemaker", listing, {"TrainingJobSummaries": summaries[half:]})


@pytest.mark.parametrize(
    ("kind", "order"), [("Maximize", "t-003 t-001 t-002"), ("Minimize", "t-001 t-003 t-002")]
)
def test_rows_are_best_first_and_failures_last(clients, now, kind, order):
    expect_job(clients, now, [0.5, None, 0.9], kind=kind)
    found = tuning.describe(clients("sagemaker"), "t")
    rows = found.rows()
    assert [row["job"] for row in rows] == order.split()
    assert rows[0]["job"] == found.best
    assert rows[-1]["reason"] == "AlgorithmError: out of bicycles"
    assert (rows[0]["seconds"], rows[0]["optimiser"]) == (90, "muon")
    assert rows[0]["learning-rate"] == pytest.approx(0.03 if kind == "Maximize" else 0.01)


def test_picture_of_whatever_there_is(clients, now):
    expect_job(clients, now, [0.5, None, 0.9, 0.7], status="InProgress")
    with Image.open(io.BytesIO(draw(tuning.describe(clients("sagemaker"), "t")))) as picture:
        assert picture.width > picture.height > 200


@pytest.fixture
def figure_of(monkeypatch):
    """Draws, and gives the figure."""
    kept = []
    arrange = Figure.suptitle
    monkeypatch.setattr(
        Figure, "suptitle", lambda self, *given: (kept.append(self), arrange(self, *given))[1]
    )
    return lambda tuned: (draw(tuned), kept[-1])[1]


def test_picture_names_what_it_shows(clients, now, figure_of):
    expect_job(clients, now, [0.5, None, 0.9, 0.7])
    figure = figure_of(tuning.describe(clients("sagemaker"), "t"))
    assert (
        figure.get_suptitle()
        == "Bayesian search, 4 training jobs: the best heldout:accuracy is 0.9, of job 3"
    )
    assert figure.get_supxlabel() == "tuning job t, Completed"
    course, *places, _colours = figure.axes
    assert [text.get_text() for text in course.get_legend().get_texts()] == [
        "best so far",
        "training job",
        "best job",
    ]
    shown = [axes.get_xlabel() for axes in places if axes.axison]
    assert shown == ["learning-rate (logarithmic scale)", "optimiser"]


def test_picture_without_a_best_job_has_no_star(clients, now, figure_of):
    expect_job(clients, now, [0.5, 0.9], status="InProgress")
    figure = figure_of(replace(tuning.describe(clients("sagemaker"), "t"), best=None))
    assert figure.get_suptitle() == "Bayesian search, 2 training jobs"
    assert "best job" not in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_nothing_to_draw(clients, now):
    expect_job(clients, now, [None, None], status="Failed")
    with pytest.raises(NothingToDrawError, match=r"t \(Failed\) has no value of heldout:accuracy"):
        draw(tuning.describe(clients("sagemaker"), "t"))


ARN = "arn:aws:sagemaker:us-east-1:123456789012"
EXECUTION = f"{ARN}:pipeline/scones/execution/abcdefghijkl"


@pytest.mark.parametrize("reference", [f"{ARN}:hyper-parameter-tuning-job/abc-TuneM-x", "abc-TuneM-x"])
def test_tuning_job_by_its_own_name(clients, settings, reference):
    assert tuning.find(clients, settings, reference) == "abc-TuneM-x"


@pytest.mark.parametrize("tunes", [True, False])
def test_tuning_job_of_an_execution(clients, settings, tunes):
    metadata = (
        {"TuningJob": {"Arn": f"{ARN}:hyper-parameter-tuning-job/abc-TuneM-x"}}
        if tunes
        else {"TrainingJob": {"Arn": f"{ARN}:training-job/abc"}}
    )
    step = {"StepName": "s", "StepStatus": "Succeeded", "StartTime": datetime.now(UTC), "Metadata": metadata}
    clients.expect("sagemaker", "list_pipeline_execution_steps", {"PipelineExecutionSteps": [step]})
    if tunes:
        assert tuning.find(clients, settings, EXECUTION) == "abc-TuneM-x"
    else:
        with pytest.raises(
            tuning.NoTuningJobError, match="abcdefghijkl has no tuning job: it has not come to"
        ):
            tuning.find(clients, settings, EXECUTION)
