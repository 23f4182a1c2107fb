"""Results used again: step caching and selective execution."""

from __future__ import annotations

import pytest

from localaws.sagemaker.engine import caching
from localaws.sagemaker.engine.schema import duration
from localaws.sagemaker.errors import ValidationError

CACHE = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P30D"}}
OUT = "Steps.Prepare.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"


@pytest.fixture
def chain(make):
    """Prepare → Train → Register, the first two cached."""
    hyperparameters = {"epochs": make.join("", make.get("Parameters.Epochs"))}
    return make.pipeline(
        make.processing("Prepare", **CACHE),
        make.training("Train", make.get(OUT), hyperparameters, **CACHE),
        make.register("Register", make.get("Steps.Train.ModelArtifacts.S3ModelArtifacts")),
        parameters=[make.parameter("Epochs", "Integer", 3)],
    )


def test_unchanged_steps_are_not_run_again(sagemaker, chain):
    first = sagemaker.run(chain)
    second = sagemaker.run()
    assert second.status == "Succeeded"
    for step in ("Prepare", "Train"):
        assert second.steps[step]["CacheHitResult"] == {"SourcePipelineExecutionArn": first.arn}
        assert second.steps[step]["Metadata"] == first.steps[step]["Metadata"]
    assert "CacheHitResult" not in second.steps["Register"]
    packages = sagemaker.made("CreateModelPackage")
    assert packages[0]["InferenceSpecification"] == packages[1]["InferenceSpecification"]
    assert len(sagemaker.made("CreateTrainingJob")) == 1


def test_a_hit_names_the_execution_that_ran_the_step(sagemaker, chain):
    first = sagemaker.run(chain)
    sagemaker.run()
    assert sagemaker.run().steps["Train"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first.arn}


def test_what_is_compared_is_the_value_not_the_expression(sagemaker, chain):
    sagemaker.run(chain)
    other = sagemaker.run(parameters={"Epochs": "4"})
    assert "CacheHitResult" in other.steps["Prepare"]
    assert "CacheHitResult" not in other.steps["Train"]


def test_an_update_keeps_the_cache(sagemaker, make, chain):
    sagemaker.run(chain)
    chain["Steps"][1]["Description"] = "says more"
    chain["Steps"][1]["Arguments"]["OutputDataConfig"]["S3OutputPath"] = "s3://bucket/elsewhere"
    chain["Steps"][1]["Arguments"]["ResourceConfig"]["InstanceType"] = "ml.m5.xlarge"
    sagemaker.update_pipeline(chain)
    assert "CacheHitResult" in sagemaker.run().steps["Train"]


def test_a_step_that_must_run_again_makes_those_after_it_run_again(sagemaker, make, chain):
    sagemaker.run(chain)
    chain["Steps"][0]["Arguments"]["Environment"] = {"SIZE": "64"}
    sagemaker.update_pipeline(chain)
    steps = sagemaker.run().steps
    assert "CacheHitResult" not in steps["Prepare"]
    assert "CacheHitResult" not in steps["Train"]  # its input lies elsewhere now


def test_failures_are_not_cached_but_successes_of_failed_executions_are(sagemaker, chain):
    sagemaker.script("Train", ("Failed", "AlgorithmError: no"))
    assert sagemaker.run(chain).status == "Failed"
    again = sagemaker.run()
    assert again.status == "Succeeded"
    assert "CacheHitResult" in again.steps["Prepare"]
    assert "CacheHitResult" not in again.steps["Train"]


def test_an_old_result_is_not_used(sagemaker, chain, monkeypatch):
    first = sagemaker.run(chain)
    ended = first.steps["Prepare"]["EndTime"]
    monkeypatch.setattr(caching, "now", lambda: ended + 30 * 86_400 + 60)
    assert "CacheHitResult" not in sagemaker.run().steps["Prepare"]


def test_pipelines_do_not_share_results(sagemaker, chain):
    sagemaker.create_pipeline(chain, "p")
    sagemaker.create_pipeline(chain, "q")
    sagemaker.run(name="p")
    assert "CacheHitResult" not in sagemaker.run(name="q").steps["Prepare"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("P30D", 30 * 86_400),
        ("PT1H", 3_600),
        ("30d", 30 * 86_400),
        ("T16m", 960),
        ("30dT5h", 30 * 86_400 + 5 * 3_600),
        ("P1Y2M3W", (365 + 60 + 21) * 86_400),
    ],
)
def test_durations(text, seconds):
    assert duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "30", "1 day", "P-1D"])
def test_wrong_durations(text):
    with pytest.raises(ValueError, match="is no duration"):
        duration(text)


# --- selective execution ---


def _select(*steps, source=None):
    config = {"SelectedSteps": [{"StepName": step} for step in steps]}
    return {"SelectiveExecutionConfig": config | ({"SourcePipelineExecutionArn": source} if source else {})}


def test_selected_steps_run_on_the_results_of_another_execution(sagemaker, chain):
    first = sagemaker.run(chain)
    chosen = sagemaker.run(parameters={"Epochs": "9"}, **_select("Train", source=first.arn))
    assert chosen.status == "Succeeded"
    assert set(chosen.steps) == {"Prepare", "Train"}
    assert chosen.steps["Prepare"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": first.arn}
    jobs = sagemaker.made("CreateTrainingJob")
    assert jobs[0]["InputDataConfig"] == jobs[1]["InputDataConfig"]
    assert jobs[1]["HyperParameters"] == {"epochs": "9"}


def test_the_first_step_needs_no_source(sagemaker, chain):
    sagemaker.create_pipeline(chain)
    assert set(sagemaker.run(**_select("Prepare")).steps) == {"Prepare"}


def test_what_cannot_be_selected(sagemaker, chain):
    sagemaker.script("Train", ("Failed", "AlgorithmError: no"))
    first = sagemaker.run(chain)
    for selection, words in (
        (_select("Nothing"), "has no step Nothing"),
        (_select("Prepare", "Register", source=first.arn), "step Train lies between"),
        (_select("Train"), "SourcePipelineExecutionArn must be given"),
        (_select("Register", source=first.arn), "Train, which did not succeed"),
    ):
        with pytest.raises(ValidationError, match=words):
            sagemaker.start(**selection)


def test_a_branch_that_was_not_taken_is_not_selected(sagemaker, make):
    gate = make.condition(
        "Gate", [make.compare("Equals", 1, 2)], [make.processing("Yes")], [make.processing("No")]
    )
    first = sagemaker.run(make.pipeline(gate))
    assert set(sagemaker.run(**_select("No", source=first.arn)).steps) == {"Gate", "No"}
    with pytest.raises(ValidationError, match="did not take"):
        sagemaker.start(**_select("Yes", source=first.arn))
