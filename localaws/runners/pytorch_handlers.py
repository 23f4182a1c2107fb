"""The functions of `code/inference.py` that answer a request, and the defaults for those it lacks.

The contract and the defaults are those of the PyTorch inference container:
https://github.com/aws/sagemaker-pytorch-inference-toolkit and https://github.com/aws/sagemaker-inference-toolkit.
One difference, on purpose: a ValueError out of `input_fn` is the client's mistake (400), not the server's.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
_TEXT = (JSON, CSV)


class RequestError(Exception):
    """The request cannot be answered; `status` is the HTTP status that says whose mistake it is."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Handlers:
    """A loaded model with the functions around it."""

    model: Any
    input_fn: Callable[..., Any]
    predict_fn: Callable[..., Any]
    output_fn: Callable[..., Any]
    transform_fn: Callable[..., Any] | None
    context: Any

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Answers one request: body and content type. Raises RequestError."""
        try:
            data: Any = body.decode() if content_type in _TEXT else body
        except UnicodeDecodeError as error:
            raise RequestError(400, f"The body is not UTF-8: {error}") from error
        if self.transform_fn:
            result = self._call(self.transform_fn, self.model, data, content_type, accept)
        else:
            result = self._call(self.input_fn, data, content_type, client_errors=(ValueError,))
            result = self._call(self.predict_fn, result, self.model)
            result = self._call(self.output_fn, result, accept)
        if isinstance(result, tuple):
            result, accept = result[:2]
        return _as_bytes(result), accept

    def _call(self, function: Callable[..., Any], *arguments: Any, client_errors: tuple = ()) -> Any:
        if _takes_context(function, len(arguments)):
            arguments = (*arguments, self.context)
        try:
            return function(*arguments)
        except RequestError:
            raise
        except Exception as error:
            status = getattr(error, "status_code", None)  # the inference toolkit's errors carry one
            if not isinstance(status, int) or not 400 <= status < 600:
                status = 400 if isinstance(error, client_errors) else 500
            if status >= 500:
                traceback.print_exc()
            raise RequestError(status, str(error) or type(error).__name__) from error


def load(model_dir: Path) -> Handlers:
    """Loads the model as the container does; whatever the model's own code raises comes through."""
    context = SimpleNamespace(system_properties={"model_dir": str(model_dir), "gpu_id": None})
    module = _user_module(model_dir)

    def pick(name: str, default: Callable[..., Any] | None) -> Any:
        return getattr(module, name, None) or default

    transform_fn = pick("transform_fn", None)
    if transform_fn and any(pick(name, None) for name in ("input_fn", "predict_fn", "output_fn")):
        raise ValueError("inference.py has both a transform_fn and one of input_fn, predict_fn, output_fn")
    model_fn = pick("model_fn", _default_model_fn)
    arguments = (str(model_dir), context) if _takes_context(model_fn, 1) else (str(model_dir),)
    return Handlers(
        model=model_fn(*arguments),
        input_fn=pick("input_fn", _default_input_fn),
        predict_fn=pick("predict_fn", _default_predict_fn),
        output_fn=pick("output_fn", _default_output_fn),
        transform_fn=transform_fn,
        context=context,
    )


def _user_module(model_dir: Path) -> Any:
    """The model's own code, or None when it brings none."""
    folder = Path(os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or model_dir / "code")
    if not folder.is_dir():  # an S3 URI, which the container fetched long ago: the code is in the model
        folder = model_dir / "code"
    program = os.environ.get("SAGEMAKER_PROGRAM") or "inference.py"
    if not (folder / program).is_file():
        return None
    if (folder / "requirements.txt").is_file():
        print("code/requirements.txt is not installed here: the model uses this environment's packages")
    sys.path.insert(0, str(folder))
    return importlib.import_module(Path(program).stem)


def _takes_context(function: Callable[..., Any], arguments: int) -> bool:
    return len(inspect.signature(function).parameters) == arguments + 1


def _as_bytes(result: Any) -> bytes:
    if isinstance(result, (bytes, bytearray)):
        return bytes(result)
    return result.encode() if isinstance(result, str) else json.dumps(result).encode()


def _default_model_fn(model_dir: str) -> Any:
    import torch

    path = Path(model_dir) / "model.pt"
    if not path.exists():
        found = [each for each in Path(model_dir).iterdir() if each.suffix in (".pt", ".pth")]
        if len(found) != 1:
            raise ValueError(f"without a model_fn, one .pt or .pth file is needed, not {len(found)}")
        path = found[0]
    return torch.jit.load(str(path), map_location="cpu").eval()


def _default_input_fn(data: Any, content_type: str) -> Any:
    import numpy as np
    import torch

    if content_type == NPY:
        return torch.from_numpy(np.load(io.BytesIO(data), allow_pickle=False))
    if content_type == JSON:
        return torch.tensor(json.loads(data), dtype=torch.float32)
    if content_type == CSV:
        array = np.genfromtxt(io.StringIO(data), dtype=np.float32, delimiter=",")
        return torch.from_numpy(np.atleast_2d(array))
    raise RequestError(415, f"Content type {content_type} is not supported by this model.")


def _default_predict_fn(data: Any, model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(data)


def _default_output_fn(prediction: Any, accept: str) -> bytes:
    import numpy as np

    values = prediction.detach().cpu().numpy() if hasattr(prediction, "detach") else np.asarray(prediction)
    for wanted in (part.partition(";")[0].strip() for part in accept.split(",")):
        if wanted in (JSON, "*/*"):
            return json.dumps(values.tolist()).encode()
        text = io.StringIO()
        if wanted == CSV:
            np.savetxt(text, np.atleast_2d(values), delimiter=",", fmt="%s")
            return text.getvalue().encode()
        if wanted == NPY:
            buffer = io.BytesIO()
            np.save(buffer, values, allow_pickle=False)
            return buffer.getvalue()
    raise RequestError(406, f"This model cannot answer {accept}: it knows {JSON}, {CSV} and {NPY}.")
