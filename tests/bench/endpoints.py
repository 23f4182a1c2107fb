"""An endpoint of the local AWS with the project's own network: what a request costs, and where.

The model behind the same handlers in this process is the floor; the model server adds HTTP, the endpoint adds
the gateway, data capture and metrics, and boto3 adds the client.
"""

from __future__ import annotations

import io
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import torch
import urllib3
from PIL import Image
from rich.console import Console
from rich.table import Table

from localaws import control
from localaws.runners.pytorch_handlers import load
from tests.functional.conftest import make_client
from tests.functional.endpoints import BUCKET, Endpoints
from training.job import copy_serving_code
from training.model import ModelCard, build, save_model

REQUESTS = 300
THREADS = (1, 2, 4, 8)
CODE = Path(__file__).parents[2] / "training"
HEADERS = {"Content-Type": "image/png", "Accept": "application/json"}


def main() -> None:
    table = Table(title="Endpoint, one 32 x 32 PNG a request")
    table.add_column("what")
    table.add_column("p50", justify="right")
    table.add_column("p99", justify="right")
    table.add_column("images a second", justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for row in _rows(Path(folder)):
            table.add_row(*row)
    Console().print(table)


def _rows(folder: Path) -> Iterator[tuple[str, ...]]:
    model, png = _model(folder / "model"), _png()
    torch.set_num_threads(1)
    handlers = load(model)
    yield _row("the model in this process", lambda: handlers.answer(png, "image/png", "application/json"))
    state_dir = folder / "state"
    running = control.up(state_dir)
    try:
        endpoints = Endpoints(lambda service, **config: make_client(running.endpoint_url, service, **config))
        endpoints.s3.create_bucket(Bucket=BUCKET)
        begin = time.perf_counter()
        name, _ = endpoints.create(endpoints.config(endpoints.model_of(_archive(model)), **_capture()))
        ready = time.perf_counter() - begin
        server = _server(state_dir)
        yield from _measure(endpoints, name, server, running.port, png)
        yield "create to InService", f"{ready:.1f} s", "", ""
        yield "model server's memory", f"{server.memory_info().rss / 2**20:.0f} MiB", "", ""
    finally:
        control.down(state_dir)


def _measure(
    endpoints: Endpoints, name: str, process: psutil.Process, port: int, png: bytes
) -> Iterator[tuple[str, ...]]:
    server = urllib3.HTTPConnectionPool("127.0.0.1", int(process.environ()["SAGEMAKER_BIND_TO_PORT"]))
    yield _row("its server", lambda: server.urlopen("POST", "/invocations", png, HEADERS).data)
    gateway = urllib3.HTTPConnectionPool("127.0.0.1", port)
    scope = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/sagemaker/aws4_request"
    signed, path = HEADERS | {"Authorization": scope}, f"/endpoints/{name}/invocations"
    yield _row("the endpoint", lambda: gateway.urlopen("POST", path, png, signed).data)
    for threads in THREADS:
        label = f"the endpoint by boto3, {threads} at a time"
        yield _row(label, lambda: endpoints.invoke(name, png)["Body"].read(), threads)


def _server(state_dir: Path) -> psutil.Process:
    """The model server below the local AWS of this state folder: the last of its containers' processes."""
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"]
        and process.info["cmdline"][-1].endswith("pytorch_inference.py")
        and str(state_dir) in process.environ().get("TMPDIR", "")
        and "sh" not in process.info["cmdline"]
    ]
    return max(found, key=lambda process: process.memory_info().rss)


def _row(what: str, call: Callable[[], object], threads: int = 1) -> tuple[str, ...]:
    def timed(_: int) -> float:
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(timed, range(20 * threads)))
        begin = time.perf_counter()
        seconds = list(pool.map(timed, range(REQUESTS)))
        rate = REQUESTS / (time.perf_counter() - begin)
    p99 = statistics.quantiles(seconds, n=100)[98]
    return what, f"{statistics.median(seconds) * 1e3:.2f} ms", f"{p99 * 1e3:.2f} ms", f"{rate:.0f}"


def _model(folder: Path) -> Path:
    """The network as training leaves it, but not trained: that costs the same to ask."""
    card = ModelCard(classes=("bicycle", "motorcycle"), image_size=(32, 32))
    save_model(folder, build(card), card)
    copy_serving_code(folder)
    return folder


def _archive(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, arcname=".")
    return buffer.getvalue()


def _png() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _capture() -> dict[str, object]:
    return {
        "DataCaptureConfig": {
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/capture",
            "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        }
    }
