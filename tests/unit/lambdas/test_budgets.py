"""What a cold start costs is kept small: the package's size and the time to import it."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import lambdas
from workflows.package import function_zip

LAMBDAS = Path(lambdas.__file__).parent

PARTS = ("serializer", "classifier", "confidence_filter")  # of the batch classifier, which asks them in turn
FUNCTIONS = sorted({path.parent.name for path in LAMBDAS.glob("*/handler.py")} - {"batch_classifier"})
MAX_ZIP_BYTES = 10_000
DEPLOYER_ZIP_BYTES = 15_000  # nobody waits for its start: it answers events
MAX_IMPORT_MS = 35

MEASURE = """
import boto3, botocore.exceptions, sys, time
sys.path.insert(0, sys.argv[1])
start = time.process_time()
import handler
print((time.process_time() - start) * 1000)
"""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_is_small_and_holds_the_handler_only(name):
    package = function_zip(name)
    assert len(package) < (DEPLOYER_ZIP_BYTES if name == "deployer" else MAX_ZIP_BYTES)
    assert zipfile.ZipFile(io.BytesIO(package)).namelist() == ["handler.py"]


def test_the_batch_classifiers_package_has_its_parts_with_it():
    package = function_zip("batch_classifier", PARTS)
    own = len(function_zip("batch_classifier"))
    assert own < MAX_ZIP_BYTES
    assert len(package) < own + len(PARTS) * MAX_ZIP_BYTES
    names = zipfile.ZipFile(io.BytesIO(package)).namelist()
    assert [name for name in names if not name.endswith("__init__.py")] == [
        "handler.py",
        *(f"lambdas/{part}/handler.py" for part in PARTS),
    ]


@pytest.mark.parametrize(("name", "uses"), [*((name, ()) for name in FUNCTIONS), ("batch_classifier", PARTS)])
def test_importing_a_handler_costs_little_beyond_boto3(tmp_path, name, uses):
    zipfile.ZipFile(io.BytesIO(function_zip(name, uses))).extractall(tmp_path)
    # Of the processor's time, and one of five is enough: what else the machine does is not its cost.
    arguments = [sys.executable, "-c", MEASURE, str(tmp_path)]
    times: list[float] = []
    while len(times) < 5 and min(times, default=MAX_IMPORT_MS) >= MAX_IMPORT_MS:
        times.append(float(subprocess.run(arguments, capture_output=True, check=True).stdout))
    assert min(times) < MAX_IMPORT_MS, times
