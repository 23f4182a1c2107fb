"""Many images through the Distributed Map on the local AWS: deployed zips, S3 and an endpoint, over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.functional.endpoints import serving
from tests.functional.test_workflow import BRIGHTNESS, picture
from tests.functional.workflows import workflow_plan
from workflows import batch
from workflows.deploy import deploy
from workflows.plan import WorkflowPlan

ROOT = Path(__file__).parents[2]
BUCKET = "batch-images"
PLACE = "scones/inference/"


plan = partial(workflow_plan, bucket=BUCKET, name_prefix="batch-test")


@pytest.fixture(scope="module")
def deployed(client: Callable[..., Any]) -> Iterator[WorkflowPlan]:
    with serving(client, BUCKET, "brightness", BRIGHTNESS) as endpoint_name:
        made = plan(endpoint_name)
        deploy(client, made)
        yield made


def put(client: Callable[..., Any], name: str, body: bytes) -> str:
    client("s3").put_object(Bucket=BUCKET, Key=PLACE + name, Body=body)
    return PLACE + name


def classify(
    client: Callable[..., Any], deployed: WorkflowPlan, keys: list[str], **options: Any
) -> batch.BatchResult:
    request = batch.BatchRequest(keys, ("dark", "bright"), **options)
    run = batch.start(client, deployed, f"test-{uuid.uuid4().hex}", request)
    progress = list(batch.follow(client, run))
    assert [state.done for state in progress] == sorted(state.done for state in progress)
    assert progress[-1].images == len(keys)
    return batch.result(client, deployed, run)


def test_a_thousand_images(client: Callable[..., Any], deployed: WorkflowPlan) -> None:
    bodies = {"bright": picture(250), "dark": picture(3), "grey": picture(102)}
    names = [f"thousand/{number:04}-{list(bodies)[number % 3]}.png" for number in range(1000)]
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda name: put(client, name, bodies[name[14:-4]]), names))
    keys[500] = PLACE + "thousand/missing.png"
    keys[501] = put(client, "thousand/notes.txt", b"this is text")
    found = classify(client, deployed, keys, batch_size=100, tolerated=2)
    assert (found.status, found.error) == ("SUCCEEDED", None)
    assert [line["s3_key"] for line in found.results] == keys
    assert found.failed == 2
    assert found.outcomes == {
        "ImageClassified": 666,
        "ThresholdNotMet": 332,
        "ImageNotFound": 1,
        "ImageRefused": 1,
    }
    for key, line in zip(keys, found.results, strict=True):
        predicted = "bright" if "bright" in key else None if key in keys[500:502] else "dark"
        assert line["predicted"] == predicted
        assert bool(line["error"]) == (key in keys[500:502])
    assert found.results[0]["confidence"] == pytest.approx(250 / 255)


def test_more_failures_than_are_tolerated_fail_the_run(
    client: Callable[..., Any], deployed: WorkflowPlan
) -> None:
    keys = [put(client, f"few/{number}.png", picture(250)) for number in range(3)]
    missing = [PLACE + "few/missing-1.png", PLACE + "few/missing-2.png"]
    found = classify(client, deployed, keys + missing, batch_size=2, tolerated=1)
    assert (found.status, found.error) == ("FAILED", "TooManyFailures")
    assert found.cause == f"2 of 5 images failed, where 1 may: the results are in {found.results_uri}"
    assert [line["outcome"] for line in found.results] == ["ImageClassified"] * 3 + ["ImageNotFound"] * 2
    assert classify(client, deployed, keys + missing, tolerated=2).status == "SUCCEEDED"


def test_the_runs_threshold_counts(client: Callable[..., Any], deployed: WorkflowPlan) -> None:
    keys = [put(client, "grey.png", picture(102))]
    assert classify(client, deployed, keys, threshold=0.55).outcomes == {"ImageClassified": 1}
    assert classify(client, deployed, keys).outcomes == {"ThresholdNotMet": 1}
    assert classify(client, deployed, keys, threshold=7, tolerated=1).outcomes == {"InvalidEvent": 1}


def test_a_missing_endpoint_stops_the_map(client: Callable[..., Any], deployed: WorkflowPlan) -> None:
    elsewhere = plan(endpoint_name="gone", name_prefix="batch-gone")
    deploy(client, elsewhere)
    keys = [put(client, f"nobody/{number}.png", picture(255)) for number in range(12)]
    found = classify(client, elsewhere, keys, batch_size=2, concurrency=1, tolerated=2)
    assert (found.status, found.error) == ("FAILED", "TooManyFailures")
    assert found.outcomes == {"NotClassified": 8, "EndpointNotFound": 4}
    assert found.results[0]["error"] == "EndpointNotFoundError: There is no endpoint gone."


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, "InvalidRequest"),
        ({"concurrency": 0}, "InvalidRequest"),
        ({"concurrency": "4"}, "InvalidRequest"),
        ({"tolerated_failures": -1}, "InvalidRequest"),
        ({"classes": []}, "InvalidRequest"),
        ({"classes": ["a"]}, "ManifestUnreadable"),
    ],
)
def test_a_request_that_cannot_be_met_has_its_own_end(
    client: Callable[..., Any], deployed: WorkflowPlan, given: dict[str, Any], error: str
) -> None:
    known = {"classes": ["a"], "threshold": None, "concurrency": 1}
    known |= {"tolerated_failures": 0, "tolerated_batches": 0}
    started = client("stepfunctions").start_execution(
        stateMachineArn=deployed.batch_state_machine_arn, input=json.dumps(known | given if given else {})
    )
    run = batch.BatchRun("none", started["executionArn"], 0, 0)
    list(batch.follow(client, run))
    assert batch.result(client, deployed, run).error == error


@pytest.fixture
def scones(local_aws: Any, deployed: WorkflowPlan, tmp_path: Path) -> Callable[..., Any]:
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline.cli", "workflow", *arguments]
        names = {"SCONES_BUCKET": BUCKET, "SCONES_ENDPOINT_NAME_PREFIX": "batch-test"}
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **names, **environment}
        return subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True)

    return run


def test_a_folder_from_the_command_line(scones: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(picture(250))
    (folder / "broken.png").write_bytes(b"nothing")
    done = scones("batch", "fleet", "--tolerated-failures", "25%", "--out", "out.jsonl")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert all(line["s3_key"].startswith(f"{PLACE}fleet/") for line in lines)
    assert {Path(line["s3_key"]).name: line["outcome"] for line in lines} == {
        **{f"{number}.png": "ImageClassified" for number in range(3)},
        "broken.png": "ImageRefused",
    }
    assert done.stdout.startswith("ImageClassified\t3\t75.0%\nImageRefused\t1\t25.0%\n4 images in ")
    assert "uploading fleet: 4 of 4 images" in done.stderr
    failed = scones("batch", f"s3://{BUCKET}/{PLACE}fleet/", "--json")
    assert failed.returncode == 1
    told = json.loads(failed.stdout)
    assert (told["status"], told["failed"], told["images"]) == ("FAILED", 1, 4)
    last = failed.stderr.splitlines()[-1]
    assert last.startswith(f"error: the run {told['name']} ended as TooManyFailures")
    again = scones("batch", "--attach", told["name"], "--json")
    assert json.loads(again.stdout) == told
    listed = json.loads(scones("list", "--json").stdout)
    assert [row["kind"] for row in listed if row["name"] == told["name"]] == ["batch"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere is no folder, no manifest and no s3:// address"),
        (["s3://other/images/"], f"s3://other/images/ is not under s3://{BUCKET}/{PLACE}, where images are"),
        ([f"s3://{BUCKET}/{PLACE}empty/"], f"s3://{BUCKET}/{PLACE}empty/ names no image"),
        (["s3://other/manifest.jsonl"], "there is no manifest s3://other/manifest.jsonl"),
        (["nowhere", "--tolerated-failures", "lots"], "--tolerated-failures is a number such as 12"),
        (["--attach", "nothing"], "there is no batch run nothing: see `scones workflow list`"),
    ],
)
def test_a_mistake_is_one_sentence(scones: Callable[..., Any], arguments: list[str], said: str) -> None:
    done = scones("batch", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1


def test_a_workflow_that_is_not_deployed(scones: Callable[..., Any]) -> None:
    done = scones("batch", "fleet", SCONES_ENDPOINT_NAME_PREFIX="nowhere")
    assert done.returncode == 1
    assert done.stderr == "error: the inference workflow is not deployed: run `scones workflow deploy`\n"
