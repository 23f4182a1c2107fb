"""The serving code behind the model server, beside a plain eager model behind the same server.

Both servers run at once, the same handlers around the model; requests go to them in turn, so that whatever
else the machine does falls on both alike. One image is a PNG of 32 x 32, many are an array of that size.
After that the forms a network can be served in, in this process and on one thread; the first is served.
"""

from __future__ import annotations

import io
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import torch
import urllib3
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn

from training.inference import Answer, compiled
from training.job import copy_serving_code
from training.model import ModelCard, build, load_model, save_model

BATCHES = (1, 32)
REQUESTS = 300
RUNS = 60
CODE = Path(__file__).parents[2] / "training"
SERVER = Path(__file__).parents[2] / "localaws" / "runners" / "pytorch_inference.py"
# The module of the project under another name, with the model left as it is.
EAGER = """
import serving
from serving import *

def model_fn(model_dir):
    torch.set_num_threads(1)
    network, card = load_model(Path(model_dir))
    return Classifier(Answer(network, card).eval(), card)
"""
Call = Callable[[], object]
Clock = Callable[[], float]


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ours, plain = (_model(Path(folder) / name, eager=name == "plain") for name in ("ours", "plain"))
        with _server(ours) as one, _server(plain) as other:
            table = _table("Behind the model server", "server", "batch")
            for batch in BATCHES:
                calls = {
                    name: (_ask(pool, *_body(batch)), clock)
                    for name, (pool, clock) in {"ours": one, "plain": other}.items()
                }
                _rows(table, calls, REQUESTS if batch == 1 else REQUESTS // 3, batch, "plain")
            Console().print(table)
        table = _table("In one process, one thread", "form", "batch")
        for batch in BATCHES:
            calls = {name: (call, time.process_time) for name, call in _forms(ours, batch)}
            _rows(table, calls, RUNS, batch, "eager")
        Console().print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    for column in ("p50", "p99", "images/s", "times as fast", "processor ms", "times less"):
        table.add_column(column, justify="right")
    return table


def _rows(
    table: Table, calls: dict[str, tuple[Call, Clock]], rounds: int, batch: int, reference: str
) -> None:
    """Every call in turn, so many rounds; the first ratio is of the medians.

    The clock is of the processor time of whoever computes: that hardly sees what else the machine does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    busy = dict.fromkeys(calls, 0.0)
    for number in range(10 + rounds):
        for name, (call, clock) in calls.items():
            before, begin = clock(), time.perf_counter()
            call()
            if number >= 10:
                seconds[name].append(time.perf_counter() - begin)
                busy[name] += clock() - before
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        p99 = statistics.quantiles(values, n=100)[98]
        times = (f"{median[name] * 1e3:.2f} ms", f"{p99 * 1e3:.2f} ms", f"{batch * rounds / sum(values):.0f}")
        ratios = (f"{median[reference] / median[name]:.2f}", f"{busy[reference] / busy[name]:.2f}")
        table.add_row(name, str(batch), *times, ratios[0], f"{busy[name] / rounds * 1e3:.2f}", ratios[1])


def _model(folder: Path, *, eager: bool) -> Path:
    """A base folder with a model as training leaves it, but not trained: that costs the same to ask."""
    card = ModelCard(classes=("bicycle", "motorcycle"))
    torch.manual_seed(0)
    save_model(folder / "model", build(card), card)
    code = copy_serving_code(folder / "model")
    if eager:
        (code / "inference.py").rename(code / "serving.py")
        (code / "inference.py").write_text(EAGER)
    return folder


@contextmanager
def _server(base: Path) -> Iterator[tuple[urllib3.HTTPConnectionPool, Clock]]:
    """A connection to the model server of `base`, and its processor time so far."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(base), "SAGEMAKER_BIND_TO_PORT": str(port)}
    process = subprocess.Popen([sys.executable, SERVER], env=environment, stdout=subprocess.DEVNULL)
    try:
        pool = urllib3.HTTPConnectionPool("127.0.0.1", port, retries=False)
        while process.poll() is None:
            try:
                if pool.request("GET", "/ping").status == 200:
                    break
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)
        yield pool, lambda: sum(psutil.Process(process.pid).cpu_times()[:2])
    finally:
        process.terminate()
        process.wait()


def _ask(pool: urllib3.HTTPConnectionPool, body: bytes, headers: dict[str, str]) -> Call:
    def call() -> None:
        response = pool.urlopen("POST", "/invocations", body, headers)
        if response.status != 200:
            raise RuntimeError(response.data.decode())

    return call


def _body(batch: int) -> tuple[bytes, dict[str, str]]:
    file = io.BytesIO()
    if batch == 1:
        Image.fromarray(_pixels(1)[0]).save(file, "PNG")
    else:
        np.save(file, _pixels(batch))
    kind = "image/png" if batch == 1 else "application/x-npy"
    return file.getvalue(), {"Content-Type": kind, "Accept": "application/json"}


def _pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def _forms(base: Path, batch: int) -> Iterator[tuple[str, Call]]:
    images = torch.from_numpy(_pixels(batch)).permute(0, 3, 1, 2)

    def asked(module: Callable[[torch.Tensor], torch.Tensor]) -> Call:
        def call() -> torch.Tensor:
            with torch.inference_mode():
                return module(images)

        return call

    network, card = load_model(base / "model")
    yield "traced and frozen", asked(compiled(network, card))
    network, card = load_model(base / "model")
    eager = Answer(network, card).eval()
    yield "eager", asked(eager)
    yield "torch.compile", asked(torch.compile(eager))
    session = _onnx(eager, images)
    if session:
        yield "ONNX Runtime", session


def _onnx(module: nn.Module, images: torch.Tensor) -> Call | None:
    """None where onnx, onnxscript and onnxruntime are not installed: the project does not need them."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(module, (images,), path, input_names=["images"], dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    array = images.contiguous().numpy()
    return lambda: session.run(None, {"images": array})


if __name__ == "__main__":
    main()
