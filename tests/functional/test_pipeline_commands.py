"""`scones` in a process of its own against the local AWS: what it prints, and where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from PIL import Image

from pipeline.revision import code_revision
from processing.synthetic import write_archive
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
NAME = "command-tests"
NAMES = {
    "SCONES_BUCKET": NAME,
    "SCONES_PIPELINE_NAME": NAME,
    "SCONES_MODEL_PACKAGE_GROUP": NAME,
    "SCONES_ENDPOINT_NAME_PREFIX": NAME,
}


@pytest.fixture
def scones(local_aws, tmp_path):
    """Runs `scones` with names of this module's own, and returns what came of it."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return command(tmp_path, *arguments, **environment)

    return run


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(words, env=variables() | environment, cwd=folder, capture_output=True, text=True)


def variables() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **NAMES}


@pytest.fixture(scope="module")
def upserted(local_aws, tmp_path_factory):
    """What the first upsert says, which the others need."""
    first = command(tmp_path_factory.mktemp("upsert"), "pipeline", "upsert", "--json")
    assert first.returncode == 0, first.stderr
    return json.loads(first.stdout)


def test_upsert_says_what_it_did(scones, upserted):
    done = upserted
    assert done["change"] == "created"
    again = json.loads(scones("pipeline", "upsert", "--json").stdout)
    assert again == {"arn": done["arn"], "change": "unchanged", "uploaded": []}
    assert scones("pipeline", "list").stdout == "no execution yet: run `scones pipeline start`\n"
    assert json.loads(scones("pipeline", "list", "--json").stdout) == []


@pytest.mark.usefixtures("upserted")
def test_start_uploads_an_archive_that_is_a_file(scones, tmp_path):
    path = tmp_path / "mine.tar.gz"
    write_archive(path, seed=1, train_per_class=24, test_per_class=12)
    started = scones("pipeline", "start", "--data", str(path), "--json")
    assert started.returncode == 0, started.stderr
    assert "warning" not in started.stderr
    arn = json.loads(started.stdout)["arn"]
    parameters = boto3.client("sagemaker").list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)
    given = {one["Name"]: one["Value"] for one in parameters["PipelineParameters"]}
    assert given["CodeRevision"] == (code_revision() or "unspecified")
    bucket, _, key = given["DataSource"].removeprefix("s3://").partition("/")
    assert boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == path.read_bytes()
    assert scones("pipeline", "stop", arn).returncode == 0


@pytest.mark.usefixtures("upserted")
def test_start_warns_of_a_pipeline_that_was_upserted_from_other_settings(scones):
    """Which then came from other code, for all that is known: its package must not name this commit."""
    started = scones("pipeline", "start", "--json", SCONES_WEIGHT_DECAY="0.05")
    assert started.returncode == 0, started.stderr
    assert "it runs as it was upserted" in started.stderr
    arn = json.loads(started.stdout)["arn"]
    parameters = boto3.client("sagemaker").list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)
    assert {"Name": "CodeRevision", "Value": "unspecified"} in parameters["PipelineParameters"]
    assert scones("pipeline", "stop", arn).returncode == 0


@pytest.mark.usefixtures("upserted")
def test_a_start_that_is_terminated_leaves_no_archive_behind(tmp_path):
    words = [sys.executable, "-m", "pipeline.cli", "pipeline", "start", "--data", "synthetic"]
    process = subprocess.Popen(words, env=variables() | {"TMPDIR": str(tmp_path)}, cwd=tmp_path)
    try:
        wait_for(lambda: list(tmp_path.glob("scones-archive-*")), "the archive's folder", 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("upserted")
def test_logs_are_followed_to_the_end_of_a_step(scones, tmp_path):
    """A folder of one's own images, one of which is none."""
    for name in ("bicycle/1.jpg", "motorcycle/1.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.new("RGB", (40, 30), {"b": "red", "m": "blue"}[name[0]]).save(tmp_path / "photos" / name)
    damaged = (tmp_path / "photos" / "motorcycle" / "1.jpg").read_bytes()[:300]
    (tmp_path / "photos" / "motorcycle" / "2.jpg").write_bytes(damaged)
    assert scones("pipeline", "start", "--data", "photos").returncode == 0
    followed = scones("pipeline", "logs", "--step", "PrepareData", "--follow")
    assert followed.returncode == 0, followed.stderr
    assert "motorcycle/2.jpg is no readable PNG or JPEG image" in followed.stdout
    failed = scones("pipeline", "watch")
    assert failed.returncode == 1
    assert "`scones pipeline logs` shows more" in " ".join(failed.stderr.split())
    assert scones("pipeline", "logs").stdout == followed.stdout  # of the step that failed
    other = scones("pipeline", "logs", "--step", "TrainModel")
    assert (other.returncode, other.stdout) == (1, "")
    assert "has not reached a step TrainModel; it has reached" in " ".join(other.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--data", "nowhere"], 1, "error: nowhere is no file; data is synthetic, cifar100, a URL, "),
        (["--data", "synthetic", "--set", "DataSource=cifar100"], 2, "give one of them"),
        (["--set", "Epochs=1", "--set", "Epochs=2"], 2, "--set Epochs=… is given twice"),
        (["--set", "AccuracyThreshold=85"], 1, "error: AccuracyThreshold=85: input should be less than or"),
    ],
)
def test_start_tells_a_slip(scones, arguments, code, said):
    done = scones("pipeline", "start", *arguments)
    assert done.returncode == code
    assert said in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pipeline", "start", "--data", "synthetic"], "there is no pipeline nowhere"),
        (["pipeline", "start"], "there is no pipeline nowhere: run `scones pipeline upsert`"),
        (["pipeline", "watch"], "there is no pipeline nowhere: run `scones pipeline upsert`"),
        (["model", "show"], "the model package group nowhere has no package: run the pipeline first"),
        (["model", "approve"], "the model package group nowhere has no PendingManualApproval package"),
        (["endpoint", "deploy"], "the model package group nowhere has no approved package to deploy"),
        (["endpoint", "predict", __file__[:-3] + ".png"], None),
        (["endpoint", "delete", "nowhere"], "there is no endpoint nowhere: see `scones endpoint list`"),
        (["workflow", "deploy"], "the environment dev has no endpoint in service: `scones endpoint deploy "),
        (["workflow", "deploy", "--environment", "prod"], "the environment prod has no endpoint in service"),
        (["workflow", "deploy", "--endpoint", "nowhere"], "there is no endpoint nowhere"),
        (
            ["endpoint", "on-approval", "--environment", "prod", "--yes"],
            "an approval alone deploys nothing to",
        ),
        (["endpoint", "promote", "--yes"], "the environment staging has no endpoint in service"),
        (["workflow", "list"], "the inference workflow is not deployed: run `scones workflow deploy`"),
        (["workflow", "run", "nowhere.png"], "nowhere.png is no file; an object is named as s3://bucket/key"),
        (
            ["workflow", "run", "s3://other/x.png"],
            "s3://other/x.png is not under s3://command-tests/scones/inference/",
        ),
        (["monitor", "report"], "the environment dev has no endpoint in service: "),
        (["monitor", "report", "--endpoint", "nowhere"], "there is no endpoint nowhere"),
    ],
)
def test_what_is_not_there_is_told_in_one_sentence(scones, arguments, said):
    nowhere = {"SCONES_PIPELINE_NAME": "nowhere", "SCONES_MODEL_PACKAGE_GROUP": "nowhere"}
    done = scones(*arguments, **nowhere, SCONES_ENDPOINT_NAME_PREFIX="nowhere")
    if said is None:  # wrong usage: a file that is not there
        assert done.returncode == 2
        return
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_what_is_not_there_cannot_be_taken_away(scones):
    done = scones("endpoint", "on-approval", "--remove", SCONES_ENDPOINT_NAME_PREFIX="nowhere")
    assert (done.returncode, done.stdout) == (0, "there is no nowhere-deployment to take away\n")


def test_local_stack_is_found_in_its_folder(tmp_path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SCONES_"))}
    variables = {**clean, "PYTHONPATH": str(ROOT), "SCONES_STATE_DIR": str(tmp_path / "state")}

    def scones(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline.cli", *arguments]
        return subprocess.run(
            command, env=variables | environment, cwd=tmp_path, capture_output=True, text=True
        )

    assert scones("local", "status").returncode == 1
    up = scones("local", "up")
    try:
        assert up.returncode == 0, up.stderr
        exports = dict(line.removeprefix("export ").split("=", 1) for line in up.stdout.splitlines())
        assert exports["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
        assert exports["AWS_ENDPOINT_URL"] in scones("local", "status").stdout
        # Nothing is exported: the command finds the stack itself, whatever profile the person has.
        found = scones("model", "list", AWS_PROFILE="somebody")
        assert found.stdout.startswith(
            "the model package group scones is empty: `scones pipeline start` makes"
        )
    finally:
        down = scones("local", "down")
    assert down.stdout == "the local AWS is stopped\n"
    assert scones("local", "down").stdout.startswith("no local AWS runs in")
    assert scones("model", "list").stderr.startswith("error: no local AWS runs in")
