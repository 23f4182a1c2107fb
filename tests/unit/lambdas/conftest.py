"""The handlers, each loaded from its file alone as Lambda loads it, and moto's S3 in this process."""

from __future__ import annotations

import base64
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

ROOT = Path(__file__).parents[3]
BUCKET, KEY = "scones-images", "scones/inference/bicycle.png"
# The smallest PNG: one grey pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


def _load(name: str) -> ModuleType:
    path = ROOT / "lambdas" / name / "handler.py"
    spec = importlib.util.spec_from_file_location(f"{name}_handler", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    """S3 with one image in it."""
    environment = pytest.MonkeyPatch()
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        environment.delenv(name, raising=False)
    environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=PNG)
        yield s3
    environment.undo()


@pytest.fixture(scope="module")
def load(aws: Any) -> Callable[[str], ModuleType]:
    return _load


@pytest.fixture(scope="session")
def saved_event() -> Callable[[str], Any]:
    return lambda name: json.loads((ROOT / "tests" / "events" / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def png() -> bytes:
    return PNG


@pytest.fixture(scope="session")
def context() -> SimpleNamespace:
    return SimpleNamespace(aws_request_id="0000-request")


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDPOINT_NAME", "scones-endpoint")
    monkeypatch.setenv("THRESHOLD", "0.8")
    monkeypatch.setenv("ALLOWED_PREFIX", "scones/inference/")
