"""The model server that stands in for the PyTorch container: functions, defaults, errors, HTTP."""

import io
import itertools
import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from localaws.runners.pytorch_handlers import RequestError, load
from localaws.runners.pytorch_inference import ModelServer

NUMBERS = itertools.count()
DOUBLE = """
def model_fn(model_dir): return 2
def input_fn(body, content_type): return float(body)
def predict_fn(data, model): return data * model
def output_fn(prediction, accept): return str(prediction)
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    """`model(code)` is a loaded model with that inference.py."""
    for variable in ("SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)

    def make(code: str | None = None, **files: bytes):
        folder = tmp_path / f"model{next(NUMBERS)}"
        (folder / "code").mkdir(parents=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_bytes(content)
        if code is not None:
            program = f"inference_{folder.name}.py"  # modules are imported once a process
            (folder / "code" / program).write_text(code)
            monkeypatch.setenv("SAGEMAKER_PROGRAM", program)
        return load(folder)

    return make


def scripted() -> bytes:
    class Sum(torch.nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values.sum(dim=-1)

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(Sum()), buffer)
    return buffer.getvalue()


def npy(values) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values, dtype=np.float32))
    return buffer.getvalue()


def test_the_models_own_functions_answer(model):
    assert model(DOUBLE).answer(b"21", "text/plain", "application/json") == (b"42.0", "application/json")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[[1, 2, 3], [4, 5, 6]]", "application/json"),
        (b"1,2,3\n4,5,6\n", "text/csv"),
        (npy([[1, 2, 3], [4, 5, 6]]), "application/x-npy"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-npy"])
def test_without_code_a_scripted_model_takes_and_gives_the_containers_formats(
    model, body, content_type, accept
):
    answer, kind = model(weights__pt=scripted()).answer(body, content_type, accept)

    assert kind == accept
    if accept == "application/json":
        assert json.loads(answer) == [6, 15]
    elif accept == "text/csv":
        assert np.loadtxt(io.BytesIO(answer), delimiter=",").tolist() == [6, 15]
    else:
        assert np.load(io.BytesIO(answer)).tolist() == [6, 15]


def test_without_code_and_without_one_model_file_nothing_is_loaded(model):
    with pytest.raises(ValueError, match=r"one \.pt or \.pth file is needed, not 2"):
        model(a__pt=b"", b__pt=b"")


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("def input_fn(b, c): raise ValueError('no image')", 400, "no image"),
        ("def input_fn(b, c): raise KeyError('bug')", 500, "bug"),
        ("def predict_fn(d, m): raise ValueError('a bug, not the client')", 500, "a bug"),
        ("class E(Exception): status_code = 415\ndef input_fn(b, c): raise E('what is that')", 415, "what"),
        ("class E(Exception): status_code = 200\ndef input_fn(b, c): raise E('odd')", 500, "odd"),
        ("def output_fn(p, a): raise MemoryError()", 500, "MemoryError"),
    ],
)
def test_whose_mistake_an_error_is(model, code, status, says):
    with pytest.raises(RequestError, match=says) as failure:
        model(f"{DOUBLE}\n{code}").answer(b"1", "text/plain", "application/json")

    assert failure.value.status == status


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "status"),
    [
        (b"x", "image/png", "application/json", 415),
        (b"[1, 2", "application/json", "application/json", 400),
        (b"\xff", "application/json", "application/json", 400),
        (b"[1]", "application/json", "image/png", 406),
    ],
)
def test_what_the_defaults_do_not_know_is_the_clients_mistake(model, body, content_type, accept, status):
    with pytest.raises(RequestError) as failure:
        model(weights__pt=scripted()).answer(body, content_type, accept)

    assert failure.value.status == status


def test_a_pickled_array_is_not_loaded(model):
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)

    with pytest.raises(RequestError) as failure:
        model(weights__pt=scripted()).answer(buffer.getvalue(), "application/x-npy", "application/json")

    assert failure.value.status == 400


def test_functions_may_take_the_context(model):
    code = """
def model_fn(model_dir, context): return context.system_properties["model_dir"]
def transform_fn(model, body, content_type, accept, context): return model, "text/plain"
"""
    handlers = model(code)

    answer, kind = handlers.answer(b"", "text/plain", "application/json")
    assert Path(answer.decode()).is_dir()
    assert kind == "text/plain"


def test_transform_fn_and_the_others_exclude_each_other(model):
    with pytest.raises(ValueError, match="both a transform_fn and"):
        model(DOUBLE + "def transform_fn(m, b, c, a): return b")


@pytest.fixture
def server(model):
    served = ModelServer(0, model(DOUBLE), workers=2)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


def test_the_container_contract_over_http(server):
    with urllib.request.urlopen(f"{server}/ping") as answer:
        assert answer.status == 200
    request = urllib.request.Request(f"{server}/invocations", b"4", {"Content-Type": "text/plain"})
    with urllib.request.urlopen(request) as answer:
        assert answer.read() == b"8.0"
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "body", "status"), [("/invocations", b"four", 400), ("/other", b"", 404), ("/other", None, 404)]
)
def test_errors_over_http(server, path, body, status):
    request = urllib.request.Request(server + path, body, {"Content-Type": "text/plain"})
    with pytest.raises(urllib.error.HTTPError) as failure:
        urllib.request.urlopen(request)

    assert failure.value.code == status
