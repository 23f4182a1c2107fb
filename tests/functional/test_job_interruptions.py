"""Running jobs when their server ends: nothing runs on, and the next start tells the truth."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from localaws import control
from tests.functional.conftest import make_client
from tests.functional.jobs import IMAGE, ROLE
from tests.waiting import wait_for

REASON = "InternalServerError: the local AWS was stopped while the job ran"
# Found again among all processes; ignores SIGTERM, as a stubborn job would.
MARK = "61803.39887"


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    control.down(tmp_path / "state")


def start_jobs(running: control.Running) -> None:
    make_client(running.endpoint_url, "s3").create_bucket(Bucket="models")
    sagemaker = make_client(running.endpoint_url, "sagemaker")
    entry_point = ["sh", "-c", f"trap '' TERM; while :; do sleep {MARK}; done"]
    sagemaker.create_training_job(
        TrainingJobName="train",
        RoleArn=ROLE,
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": entry_point,
        },
        OutputDataConfig={"S3OutputPath": "s3://models/"},
        ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    for name in ("process", "stopping"):
        sagemaker.create_processing_job(
            ProcessingJobName=name,
            RoleArn=ROLE,
            AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": entry_point},
            ProcessingResources={
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
            },
        )
    wait_for(lambda: len(sleepers()) >= 2, "both jobs")
    sagemaker.stop_processing_job(ProcessingJobName="stopping")


def sleepers() -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if MARK in (p.info["cmdline"] or [])]


def kill(state_dir: Path, running: control.Running) -> None:
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: control.status(state_dir) is None, "the end of the local AWS")


def stop(state_dir: Path, running: control.Running) -> None:
    started = time.monotonic()
    control.down(state_dir)
    assert time.monotonic() - started < 10, "closing does not wait for jobs that do not want to end"


@pytest.mark.parametrize("end", [kill, stop])
def test_jobs_end_with_their_server(state_dir: Path, end: Callable[[Path, Any], None]) -> None:
    running = control.up(state_dir)
    start_jobs(running)
    end(state_dir, running)
    wait_for(lambda: not sleepers(), "the end of the jobs")
    again = control.up(state_dir)
    sagemaker = make_client(again.endpoint_url, "sagemaker")
    training = sagemaker.describe_training_job(TrainingJobName="train")
    assert (training["TrainingJobStatus"], training["SecondaryStatus"]) == ("Failed", "Failed")
    assert training["FailureReason"] == REASON
    processing = sagemaker.describe_processing_job(ProcessingJobName="process")
    assert (processing["ProcessingJobStatus"], processing["FailureReason"]) == ("Failed", REASON)
    stopped = sagemaker.describe_processing_job(ProcessingJobName="stopping")
    assert stopped["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in stopped
    leftovers = [path for path in (state_dir / "jobs").rglob("*") if path.is_file()]
    assert leftovers == []
