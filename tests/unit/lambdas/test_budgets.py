"""What a cold start costs is kept small: the package's size and the time to import it."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import pytest

from workflows.package import function_zip

FUNCTIONS = ["serializer", "classifier", "confidence_filter", "batch_results"]
PARTS = ("serializer", "classifier", "confidence_filter")
MAX_ZIP_BYTES = 10_000
MAX_IMPORT_MS = 35

MEASURE = """
import boto3, botocore.exceptions, sys, time
sys.path.insert(0, sys.argv[1])
start = time.perf_counter()
import handler
print((time.perf_counter() - start) * 1000)
"""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_is_small_and_holds_the_handler_only(name):
    package = function_zip(name)
    assert len(package) < MAX_ZIP_BYTES
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
    # The best of three: what else the machine does is not the handler's cost.
    arguments = [sys.executable, "-c", MEASURE, str(tmp_path)]
    times = [float(subprocess.run(arguments, capture_output=True, check=True).stdout) for _ in range(3)]
    assert min(times) < MAX_IMPORT_MS
