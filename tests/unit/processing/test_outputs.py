"""Output folders in every state SageMaker may hand them over in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from processing.outputs import OutputError, staged, write_files

ROOT = Path(__file__).parents[3]
PARTS = ("train", "statistics")


def publish(folder: Path, text: str = "new") -> None:
    with staged(folder, PARTS, ours=lambda place: (place / "ours").exists()) as staging:
        for part in PARTS:
            (staging / part / "a.png").write_text(text)
            (staging / part / "ours").write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


NEW = {f"{part}/{name}": "new" for part in PARTS for name in ("a.png", "ours")}


@pytest.mark.parametrize("there", ["nothing", "folder", "empty parts", "earlier"])
def test_publishes(tmp_path, there):
    folder = tmp_path / "deep" / "out"
    if there != "nothing":
        folder.mkdir(parents=True)
    if there == "empty parts":
        for part in PARTS:
            (folder / part).mkdir()
    if there == "earlier":
        publish(folder, "old")
        (folder / "train" / "b.png").write_text("old")
    publish(folder)
    assert content(folder) == NEW


@pytest.mark.parametrize("there", [False, True])
def test_leaves_all_as_it_was_when_the_block_fails(tmp_path, there):
    folder = tmp_path / "deep" / "out"
    if there:
        publish(folder)

    def fail():
        with staged(folder, PARTS, ours=lambda _: True) as staging:
            (staging / "train" / "a.png").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert content(tmp_path / "deep") == (
        {f"out/{name}": text for name, text in NEW.items()} if there else {}
    )
    assert (tmp_path / "deep").exists() == there


def test_a_file_is_in_the_way(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="a file is in its way"):
        publish(tmp_path / "out")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "train").write_text("mine")
    with pytest.raises(OutputError, match="it is no folder"):
        publish(tmp_path / "folder")
    assert content(tmp_path) == {"out": "mine", "folder/train": "mine"}


MOUNTED = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_outputs import NEW, PARTS, content, publish
folder = Path({folder!r})
for part in PARTS:
    (folder / part).mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", folder / part], check=True)
publish(folder, "old")
(folder / "train" / "b.png").write_text("old")
publish(folder)
assert content(folder) == NEW, content(folder)
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs mount namespaces")
def test_parts_that_are_mounts_of_another_file_system(tmp_path):
    """So it is on SageMaker: a mount can neither be renamed nor renamed over."""
    code = MOUNTED.format(here=str(Path(__file__).parent), folder=str(tmp_path / "out"))
    completed = subprocess.run(
        ["unshare", "--mount", "--map-root-user", sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if "unshare failed" in completed.stderr or "must be superuser" in completed.stderr:
        pytest.skip("mount namespaces are not allowed here")
    assert completed.returncode == 0, completed.stderr


def test_write_files_replaces_each(tmp_path):
    write_files(tmp_path / "a" / "b", {"x": b"1", "y": b"2"})
    write_files(tmp_path / "a" / "b", {"x": b"3"})
    assert content(tmp_path / "a" / "b") == {"x": "3", "y": "2"}
