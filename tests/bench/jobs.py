"""Jobs on the local AWS: what a job costs beyond its own work, and how fast many small files travel."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from rich.console import Console
from rich.table import Table

from localaws import control
from tests.functional.jobs import IMAGE, ROLE

BUCKET = "bench-jobs"
JOBS = 10
FILES = 1000
BYTES = 2_000  # a CIFAR-100 image as PNG
LINES = 100_000


def main() -> None:
    table = Table(title="Jobs on the local AWS")
    table.add_column("what")
    table.add_column("figure", justify="right")
    with tempfile.TemporaryDirectory() as folder:
        running = control.up(Path(folder) / "state")
        os.environ.update(running.environment())
        try:
            for what, figure in _figures(Path(folder)):
                table.add_row(what, figure)
        finally:
            control.down(Path(folder) / "state")
    Console().print(table)


def _figures(folder: Path) -> Iterator[tuple[str, str]]:
    s3 = boto3.client("s3", config=Config(max_pool_connections=16))
    s3.create_bucket(Bucket=BUCKET)
    sagemaker = boto3.client("sagemaker")
    _run(sagemaker, "true")  # the first one makes the clients
    times = [_seconds(_run(sagemaker, "true")) for _ in range(JOBS)]
    yield "a processing job that does nothing, median", f"{statistics.median(times) * 1000:.0f} ms"

    (folder / "files").mkdir()
    for number in range(FILES):
        (folder / "files" / f"{number:04}.png").write_bytes(os.urandom(BYTES))
    yield f"{FILES} files up with boto3, 8 threads", f"{_boto3_up(s3, folder / 'files'):.2f} s"
    yield f"{FILES} files down with boto3, 8 threads", f"{_boto3_down(s3, folder / 'back'):.2f} s"
    job = _run(sagemaker, "true", ProcessingInputs=[_input()])
    yield f"{FILES} files into a job", f"{job['ProcessingStartTime'] - job['CreationTime']}"
    copy = "cp -r /opt/ml/processing/in/. /opt/ml/processing/out"
    job = _run(sagemaker, copy, ProcessingInputs=[_input()], ProcessingOutputConfig={"Outputs": [_output()]})
    yield "… and copied and out of it", f"{job['ProcessingEndTime'] - job['ProcessingStartTime']}"

    job = _run(sagemaker, f"seq {LINES}")
    seconds = _seconds(job)
    yield f"a job that logs {LINES} lines", f"{seconds:.1f} s ({LINES / seconds:,.0f} lines/s)"


def _seconds(job: dict[str, Any]) -> float:
    return (job["ProcessingEndTime"] - job["CreationTime"]).total_seconds()


def _run(sagemaker: Any, script: str, **more: Any) -> dict[str, Any]:
    name = f"bench-{uuid.uuid4().hex[:8]}"
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn=ROLE,
        AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": ["sh", "-c", script]},
        ProcessingResources={"ClusterConfig": cluster},
        **more,
    )
    while (job := sagemaker.describe_processing_job(ProcessingJobName=name))[
        "ProcessingJobStatus"
    ] == "InProgress":
        time.sleep(0.02)
    if job["ProcessingJobStatus"] != "Completed":
        raise RuntimeError(job["FailureReason"])
    return job


def _input() -> dict[str, Any]:
    place = {"S3Uri": f"s3://{BUCKET}/files/", "LocalPath": "/opt/ml/processing/in"}
    return {"InputName": "in", "S3Input": {**place, "S3DataType": "S3Prefix", "S3InputMode": "File"}}


def _output() -> dict[str, Any]:
    place = {"S3Uri": f"s3://{BUCKET}/out/", "LocalPath": "/opt/ml/processing/out"}
    return {"OutputName": "out", "S3Output": {**place, "S3UploadMode": "EndOfJob"}}


def _boto3_up(s3: Any, folder: Path) -> float:
    return _each(
        lambda path: s3.put_object(Bucket=BUCKET, Key=f"files/{path.name}", Body=path.read_bytes()),
        list(folder.iterdir()),
    )


def _boto3_down(s3: Any, folder: Path) -> float:
    folder.mkdir()
    names = [f"{number:04}.png" for number in range(FILES)]
    return _each(lambda name: s3.download_file(BUCKET, f"files/{name}", str(folder / name)), names)


def _each(action: Callable[[Any], Any], items: list[Any]) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(action, items))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
