"""A trained model as the endpoint will see it: model.tar.gz, with the code that serves it."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from processing.job import JobError
from processing.model_archive import ArchiveError, unpack

ARCHIVE = "model.tar.gz"
CONTENT_TYPE = "image/png"
ANSWER_TYPE = "application/json"
HANDLERS = ("model_fn", "input_fn", "predict_fn", "output_fn")


class ModelError(JobError):
    """The model cannot be unpacked, loaded or asked, or its answer is not what the contract says."""


class Answering(Protocol):
    """What can be asked about images."""

    @property
    def classes(self) -> tuple[str, ...] | None: ...

    @property
    def card(self) -> dict[str, Any]: ...

    def probabilities(self, png: bytes, classes: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        classes: the model's own, in the order of its probabilities; None if it does not say.
        card: what model.json says; empty where there is none.
    """

    classes: tuple[str, ...] | None
    card: dict[str, Any]
    _handlers: ModuleType
    _loaded: Any

    def probabilities(self, png: bytes, classes: int) -> np.ndarray:
        """What the endpoint would answer for this image; float64 [classes]. Raises `ModelError`."""
        handlers = self._handlers
        try:
            data = handlers.input_fn(png, CONTENT_TYPE)
            answer = handlers.output_fn(handlers.predict_fn(data, self._loaded), ANSWER_TYPE)
        except (Exception, SystemExit) as error:
            raise ModelError(f"the model failed: {type(error).__name__}: {error}") from error
        return _checked(answer, classes)


@contextmanager
def open_model(path: Path) -> Iterator[Model]:
    """The model of a `model.tar.gz`, or of a folder that holds one or what one holds.

    Its code is imported under its own names (`inference`, and what that imports from beside it), which are
    gone afterwards, so that another model may follow. Raises `ModelError`.
    """
    with _unpacked(path) as folder, _importable(folder / "code"):
        handlers = _import_handlers(folder / "code" / "inference.py")
        try:
            loaded = handlers.model_fn(str(folder))
        except (Exception, SystemExit) as error:
            raise ModelError(f"model_fn failed: {type(error).__name__}: {error}") from error
        card = _card(folder)
        yield Model(tuple(map(str, card["classes"])) if card else None, card, handlers, loaded)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    if path.is_dir() and (path / "code").is_dir():
        yield path
        return
    archive = path / ARCHIVE if path.is_dir() else path
    if not archive.is_file():
        raise ModelError(f'there is no model at "{path}"')
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        try:
            unpack(archive, Path(folder))
        except ArchiveError as error:
            raise ModelError(f"{archive} {error}") from None
        yield Path(folder)


@contextmanager
def _importable(code: Path) -> Iterator[None]:
    before = set(sys.modules)
    sys.path.insert(0, str(code))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.path.remove(str(code))
        sys.dont_write_bytecode = writes
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(code):
                del sys.modules[name]


def _import_handlers(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("inference", path)
    if not path.is_file() or specification is None or specification.loader is None:
        raise ModelError("the model has no code/inference.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules["inference"] = module
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ModelError(f"code/inference.py cannot be imported: {type(error).__name__}: {error}") from error
    missing = [name for name in HANDLERS if not callable(getattr(module, name, None))]
    if missing:
        raise ModelError(f"code/inference.py has no {' and no '.join(missing)}")
    return module


def _card(folder: Path) -> dict[str, Any]:
    path = folder / "model.json"
    if not path.is_file():
        return {}
    try:
        # No JSON has a NaN, though Python's writes it: what is copied from here would be none either.
        card = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
        if isinstance(card["classes"], list):
            return dict(card)
    except (ValueError, KeyError, TypeError):
        pass
    raise ModelError("the model's model.json names no classes")


def _checked(answer: str | bytes, classes: int) -> np.ndarray:
    return distribution(parsed(answer), classes)


def parsed(answer: str | bytes) -> Any:
    """An answer's JSON. Raises `ModelError`."""
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise ModelError(f"the model answered {answer!r:.80}, not a list of probabilities") from None


def distribution(answer: Any, classes: int) -> np.ndarray:
    """The probabilities of an answer that was JSON; float64 [classes]. Raises `ModelError`."""
    try:
        if not {type(value) for value in answer} <= {int, float}:
            raise TypeError
        values = np.array(answer, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise ModelError(f"the model answered {answer!r:.80}, not a list of probabilities") from None
    if values.shape != (classes,):
        raise ModelError(f"the model answered {values.size} probabilities for {classes} classes")
    if not (np.all(values >= 0) and abs(values.sum() - 1) < 1e-3):
        raise ModelError(
            f"the model's answer {values.tolist()!r:.80} is not a distribution: it must sum to 1"
        )
    return values
