"""The inference workflow on the local AWS: cold and warm invocations, executions a second, import times."""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from PIL import Image
from rich.console import Console
from rich.table import Table

from localaws import control
from tests.functional.endpoints import BUCKET, Endpoints
from tests.functional.workflows import workflow_plan
from workflows import run
from workflows.deploy import deploy
from workflows.package import function_zip
from workflows.plan import WorkflowPlan

MODEL = """
def model_fn(model_dir): return None
def input_fn(body, content_type): return body
def predict_fn(data, model): return [0.05, 0.95]
def output_fn(prediction, accept): return str(prediction)
"""
IMPORT = """
import boto3, sys, time
sys.path.insert(0, sys.argv[1])
start = time.perf_counter()
import handler
print((time.perf_counter() - start) * 1000)
"""
WARM = 200
BATCHES = (1, 10, 100)


def main() -> None:
    table = Table(title="Inference workflow on the local AWS")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for what, figure in _figures():
        table.add_row(what, figure)
    Console().print(table)


def _figures() -> Iterator[tuple[str, str]]:
    for folder in ("serializer", "classifier", "confidence_filter"):
        yield f"import of {folder} beyond boto3", f"{_import_ms(folder):.1f} ms"
    with local_aws() as client:
        plan, seconds = deployed(client)
        yield "deploying the workflow", f"{seconds:.2f} s"
        _, seconds = _timed(lambda: deploy(client, plan))
        yield "deploying it again, unchanged", f"{seconds:.2f} s"
        yield from _invocations(client, plan)
        yield from _executions(client, plan)


def _invocations(client: Callable[[str], Any], plan: WorkflowPlan) -> Iterator[tuple[str, str]]:
    functions, name = client("lambda"), plan.functions[2].name
    event = json.dumps({"inferences": [0.05, 0.95]})

    def invoke() -> None:
        answer = functions.invoke(FunctionName=name, Payload=event)
        if "FunctionError" in answer:
            raise RuntimeError(answer["Payload"].read().decode())

    yield "first invocation of a function", f"{_timed(invoke)[1] * 1000:.0f} ms"
    times = sorted(_timed(invoke)[1] * 1000 for _ in range(WARM))
    p50, p99 = statistics.median(times), times[int(WARM * 0.99)]
    yield "warm invocation, p50 and p99", f"{p50:.1f} and {p99:.1f} ms"


def _executions(client: Callable[[str], Any], plan: WorkflowPlan) -> Iterator[tuple[str, str]]:
    picture = io.BytesIO()
    Image.effect_noise((32, 32), 64).save(picture, "PNG")
    key = f"{plan.images_prefix}noise.png"
    client("s3").put_object(Bucket=BUCKET, Key=key, Body=picture.getvalue())
    _execute(client, plan, [key])  # starts the workers
    for count in BATCHES:
        _, seconds = _timed(lambda count=count: _execute(client, plan, [key] * count))
        yield f"{count} executions at once", f"{seconds:.2f} s, {count / seconds:.1f} a second"


def _execute(client: Callable[[str], Any], plan: WorkflowPlan, keys: list[str]) -> None:
    results = run.run(client, plan.state_machine_arn, BUCKET, keys, ("a", "b"))
    if any(result.outcome != "ImageClassified" for result in results):
        raise RuntimeError(f"not all were classified: {results}")


def deployed(client: Callable[[str], Any]) -> tuple[WorkflowPlan, float]:
    client("s3").create_bucket(Bucket=BUCKET)
    endpoints = Endpoints(lambda service, **_: client(service))
    name, _ = endpoints.create(endpoints.config(endpoints.model("bench", MODEL)))
    plan = workflow_plan(name, bucket=BUCKET, prefix="bench", name_prefix=f"bench-{uuid.uuid4().hex[:8]}")
    return plan, _timed(lambda: deploy(client, plan))[1]


def _import_ms(folder: str) -> float:
    with tempfile.TemporaryDirectory() as place:
        zipfile.ZipFile(io.BytesIO(function_zip(folder))).extractall(place)
        arguments = [sys.executable, "-c", IMPORT, place]
        return min(float(subprocess.run(arguments, capture_output=True, check=True).stdout) for _ in range(5))


@contextmanager
def local_aws() -> Iterator[Callable[[str], Any]]:
    with tempfile.TemporaryDirectory() as place:
        running = control.up(Path(place))
        previous = dict(os.environ)
        os.environ.update(running.environment())
        try:
            yield boto3.Session().client
        finally:
            os.environ.clear()
            os.environ.update(previous)
            control.down(Path(place))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
