"""`scones demo` as a person runs it: in a process of its own, with its output in a folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from processing.synthetic import write_archive

ROOT = Path(__file__).parents[2]
REAL_ARCHIVE = ROOT.parent / "shared" / "data" / "cifar-100-python.tar.gz"
STEPS = (
    "PrepareData",
    "FindApprovedModel",
    "TrainModel",
    "EvaluateModel",
    "CheckAccuracy",
    "RegisterModel",
)
SUMMARY_KEYS = {
    "data",
    "evaluation",
    "pipeline_execution_arn",
    "steps",
    "model_package_arn",
    "approval_status",
    "endpoint_name",
    "inference_executions",
    "threshold",
    "capture_records",
    "monitoring_report",
    "stages",
    "total_seconds",
}


@pytest.fixture(scope="module")
def few_images(tmp_path_factory) -> str:
    """An archive for those who do not look at the model: most of a short run is the moving of images."""
    path = tmp_path_factory.mktemp("data") / "few.tar.gz"
    write_archive(path, seed=0, train_per_class=60, test_per_class=20)
    return str(path)


def start(out: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SCONES_", "AWS_", "SAGEMAKER_"))
    }
    command = [sys.executable, "-m", "pipeline.cli", "demo", "--out", str(out), *arguments]
    return subprocess.Popen(
        command,
        env=clean | {"PYTHONPATH": str(ROOT)} | environment,
        cwd=out.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left_behind(out: Path, seconds: float = 30) -> list[str]:
    """Processes that still have anything to do with the folder; the last may need a moment to end.

    5 s were not enough where other work took most of both cores.
    """
    deadline = time.monotonic() + seconds
    while (found := processes(out)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def processes(out: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline", "pid"]):
        if any(str(out) in argument for argument in process.info["cmdline"] or []):
            found.append(f"{process.info['pid']}: {process.info['cmdline']}")
    return found


@pytest.mark.timeout(1500)
def test_demo(tmp_path):
    """With the real images where they are; elsewhere with drawn ones, which go the same way."""
    out = tmp_path / "demo"
    real = REAL_ARCHIVE.exists()
    # The fast recipe: the default one is measured, not tested.
    environment = {"SCONES_PRESET": "fast"} | ({} if real else {"SCONES_EPOCHS": "5"})
    process = start(out, "--data", str(REAL_ARCHIVE) if real else "synthetic", **environment)
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary) == SUMMARY_KEYS
    assert summary["evaluation"]["accuracy"] >= (0.9 if real else 0.85)
    assert sum(map(sum, summary["evaluation"]["confusion_matrix"])) == summary["evaluation"]["images"]
    assert summary["approval_status"] == "Approved"
    assert [(step["name"], step["status"]) for step in summary["steps"]] == [
        (name, "Succeeded") for name in STEPS
    ]
    outcomes = [execution["outcome"] for execution in summary["inference_executions"]]
    assert set(outcomes) == {"ImageClassified", "ThresholdNotMet"}
    threshold = summary["threshold"]["value"]
    assert all(
        (execution["confidence"] >= threshold) == (execution["outcome"] == "ImageClassified")
        for execution in summary["inference_executions"]
    )
    assert summary["threshold"]["origin"].startswith("from the calibration of scones/1")
    assert summary["capture_records"] >= len(outcomes)
    assert Path(summary["monitoring_report"]).stat().st_size > 10_000
    for picture in ("samples.png", "learning_curves.png", "calibration.png", "worst_mistakes.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    assert sum(summary["stages"].values()) == pytest.approx(summary["total_seconds"], rel=0.1)
    for told in (summary["model_package_arn"], summary["endpoint_name"], "ThresholdNotMet"):
        assert told in printed
    assert left_behind(out) == []


@pytest.mark.parametrize(
    ("number", "until", "data"),
    [
        (signal.SIGINT, "start the local AWS", "few"),
        (signal.SIGTERM, "PrepareData Executing", "few"),
        (signal.SIGHUP, "TrainModel Executing", "synthetic"),
    ],
)
def test_interrupted_demo_leaves_nothing(tmp_path, few_images, number, until, data):
    out = tmp_path / "demo"
    process = start(out, "--data", few_images if data == "few" else data)
    assert process.stdout is not None
    for line in process.stdout:
        if until in line:
            break
    else:
        pytest.fail(f"never came to {until}: {process.stderr.read()}")
    process.send_signal(number)
    time.sleep(0.3)
    process.send_signal(number)  # an impatient person
    _, errors = process.communicate(timeout=60)
    assert "interrupted: what the demo started and wrote is gone" in errors
    assert process.returncode != 0
    assert not out.exists()
    assert left_behind(out) == []


def test_nobody_reads_what_it_prints_any_more(tmp_path, few_images):
    out = tmp_path / "demo"
    process = start(out, "--data", few_images)
    assert process.stdout is not None
    for line in process.stdout:
        if "PrepareData Executing" in line:
            break
    process.stdout.close()
    assert process.wait(timeout=120) != 0
    assert not out.exists()
    assert left_behind(out) == []


def test_model_that_is_too_bad_ends_the_demo_in_one_sentence(tmp_path):
    """Of one's own images, which here say nothing of their class."""
    random = np.random.default_rng(0)
    for number in range(80):
        path = tmp_path / "photos" / ("Cargo Bike", "van")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(path)
    strict = {"SCONES_ACCURACY_THRESHOLD": "1", "SCONES_EPOCHS": "1", "SCONES_CLASSES": "cargo_bike,van"}
    out = tmp_path / "demo"
    process = start(out, "--data", str(tmp_path / "photos"), **strict)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    packed, uploaded, error = errors.strip().splitlines()
    assert "packing: 80 of 80 images" in packed
    assert uploaded.startswith("uploading photos.tar.gz ")
    assert "AccuracyTooLow: The model was not registered. Its accuracy is 0." in error
    assert "and AccuracyThreshold asks for 1.0;" in error
    assert [path.name for path in out.iterdir()] == ["local-aws"]  # with the jobs' logs in it
    assert left_behind(out) == []


def test_archive_that_is_not_there(tmp_path):
    process = start(tmp_path / "demo", "--data", "nowhere.tar.gz")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.count("\n")) == (1, 1)
    assert errors.startswith("error: nowhere.tar.gz is no file")
    assert list(tmp_path.iterdir()) == []
