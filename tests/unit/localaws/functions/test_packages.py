from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile

import pytest

from localaws.functions import packages
from localaws.functions.errors import InvalidZipFileError


def archive_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return buffer.getvalue()


def test_the_same_code_is_unpacked_once(tmp_path):
    code = archive_of({"handler.py": b"x = 1", "data/table.csv": b"1,2"})
    folder = packages.unpack(code, tmp_path)
    before = (folder / "handler.py").stat().st_mtime_ns
    assert packages.unpack(code, tmp_path) == folder
    assert (folder / "handler.py").stat().st_mtime_ns == before
    assert (folder / "data" / "table.csv").read_text() == "1,2"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["../outside.py", "/outside.py", "a/../../outside.py"])
def test_nothing_is_written_outside_the_folder(tmp_path, name):
    inner = tmp_path / "code"
    inner.mkdir()
    folder = packages.unpack(archive_of({name: b"x"}), inner)
    (written,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written.is_relative_to(folder)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(InvalidZipFileError, match="unpacks to over"):
        packages.unpack(archive_of({"zeros": bytes(1001)}), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "code", [b"", b"no zip", archive_of({"a.py": b"x" * 1000})[:-40]], ids=["nothing", "no-zip", "half-a-zip"]
)
def test_what_is_no_zip_leaves_nothing(tmp_path, code):
    with pytest.raises(InvalidZipFileError):
        packages.unpack(code, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_server_are_removed(tmp_path):
    (tmp_path / "unpacking-abc").mkdir()
    (tmp_path / "unpacking-abc" / "handler.py").write_text("x")
    kept = packages.unpack(archive_of({"handler.py": b"x"}), tmp_path)
    packages.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]


def test_the_runtimes_packages_are_boto3_and_the_interface_client_only(tmp_path):
    folder = packages.runtime_packages(tmp_path)
    assert packages.runtime_packages(tmp_path) == folder
    names = {path.name for path in folder.iterdir()}
    assert {"boto3", "botocore", "awslambdaric", "urllib3", "jmespath"} <= names
    assert not {"numpy", "moto", "torch", "pip", "werkzeug"} & names
    script = "import boto3, awslambdaric.bootstrap; print(boto3.__file__)"
    environment = {"PYTHONPATH": str(folder), "PATH": os.environ["PATH"]}
    found = subprocess.run(
        [sys.executable, "-S", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(str(folder))
