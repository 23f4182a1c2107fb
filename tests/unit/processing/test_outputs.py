"""Output folders in every state SageMaker may hand them over in."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processing.outputs import OutputError, staged, write_files

ROOT = Path(__file__).parents[3]
PARTS = ("train", "statistics")


def publish(folder: Path, text: str = "new", stale: Sequence[str] = ()) -> None:
    with staged(folder, PARTS, ours=lambda place: (place / "ours").exists(), stale=stale) as staging:
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


OLD = {f"{part}/{name}": "old" for part in (*PARTS, "extra") for name in ("a.png", "ours")}


@pytest.fixture
def earlier(tmp_path) -> Path:
    """The output of an earlier run, which had a part more."""
    folder = tmp_path / "out"
    publish(folder, "old")
    shutil.copytree(folder / "train", folder / "extra")
    return folder


def test_a_stale_part_goes_with_the_rest_or_all_stays(earlier):
    (earlier / "extra" / "ours").unlink()
    before = content(earlier)
    with pytest.raises(OutputError, match='extra" holds files that are not from an earlier run'):
        publish(earlier, stale=["extra"])
    assert content(earlier) == before
    (earlier / "extra" / "ours").touch()
    publish(earlier, stale=["extra"])
    assert content(earlier) == NEW
    assert {path.name for path in earlier.iterdir()} == set(PARTS)


RENAMES = 6  # three parts leave, the two phases are told apart, two parts come


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space"), KeyboardInterrupt()])
@pytest.mark.parametrize("number", range(1, RENAMES + 1))
def test_what_fails_between_two_renames_leaves_all_as_it_was(earlier, monkeypatch, number, error, after):
    rename, done = Path.rename, []

    def failing(path, target):
        done.append(path)
        if len(done) == number and not after:
            raise error
        rename(path, target)
        if len(done) == number:
            raise error

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(type(error)):
        publish(earlier, stale=["extra"])
    assert content(earlier) == (NEW if after and number == RENAMES else OLD)
    assert not list(earlier.glob(".*"))


STEPS = 2 * 2 * 3 + 2 * 2 * 2  # a file is copied and put in its place; two files in three parts, then in two


RENAME = Path.rename


def as_mounts(path: Path, target: Path | str) -> Path:
    """`rename` where both places are on different file systems; of the whole staging folder they are not."""
    if Path(target).name in ("old", "replaced"):
        return RENAME(path, target)
    raise OSError(errno.EXDEV, "Invalid cross-device link")


@pytest.mark.parametrize("number", range(1, STEPS + 1))
@pytest.mark.parametrize("ends", ["full", "killed"])
def test_mounts_that_take_some_of_the_files_get_the_old_ones_back(earlier, monkeypatch, number, ends):
    """The disk is full, or a kill comes, at any step; the second time the same is not tried again."""
    copy, replace, done = shutil.copy2, Path.replace, []

    def step(go, *arguments):
        done.append(go)
        if len(done) == number:
            if ends == "killed":
                os._exit(9)
            raise OSError(errno.ENOSPC, "no space")
        return go(*arguments)

    monkeypatch.setattr(Path, "rename", as_mounts)
    monkeypatch.setattr(shutil, "copy2", lambda *a: step(copy, *a))
    monkeypatch.setattr(Path, "replace", lambda *a: step(replace, *a))
    if ends == "killed":
        if not (child := os.fork()):
            publish(earlier, stale=["extra"])
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        monkeypatch.setattr(shutil, "copy2", copy)
        monkeypatch.setattr(Path, "replace", replace)
        with pytest.raises(ZeroDivisionError), staged(earlier, PARTS, lambda _: True, ["extra"]):
            raise ZeroDivisionError
    else:
        with pytest.raises(OSError, match="no space"):
            publish(earlier, stale=["extra"])
    assert content(earlier) == OLD
    assert not list(earlier.glob(".*"))


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_outputs import PARTS, publish, staged
rename, done = Path.rename, []
def killed(path, target):
    done.append(path)
    if len(done) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)
Path.rename = killed
publish(Path({folder!r}), stale=["extra"])
"""


def killed(folder: Path, number: int) -> int:
    """Publish in a process that is killed before its rename of that number."""
    code = KILLED.format(here=str(Path(__file__).parent), folder=str(folder), number=number)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], env=environment).returncode


def shown(folder: Path) -> dict[str, str]:
    return {name: text for name, text in content(folder).items() if not name.startswith(".")}


@pytest.mark.parametrize("number", range(1, RENAMES + 1))
def test_a_kill_between_two_renames_shows_and_is_put_back(earlier, number):
    assert killed(earlier, number) == -signal.SIGKILL
    left = shown(earlier)
    assert left == OLD or "statistics/ours" not in left
    with pytest.raises(ZeroDivisionError), staged(earlier, PARTS, lambda _: True, ["extra"]):
        raise ZeroDivisionError
    assert content(earlier) == OLD
    assert not list(earlier.glob(".*"))


@pytest.mark.parametrize("number", range(1, RENAMES + 1))
def test_putting_back_may_be_killed_as_well(earlier, number):
    killed(earlier, RENAMES)
    killed(earlier, number)
    left = shown(earlier)
    assert left in (OLD, NEW) or "statistics/ours" not in left
    publish(earlier, stale=["extra"])
    assert content(earlier) == NEW
    assert not list(earlier.glob(".*"))


def test_a_first_run_that_was_killed_leaves_nothing(tmp_path):
    assert killed(tmp_path, 3) == -signal.SIGKILL
    assert set(shown(tmp_path)) == {"train/a.png", "train/ours"}
    with pytest.raises(ZeroDivisionError), staged(tmp_path, PARTS, lambda _: True):
        raise ZeroDivisionError
    assert content(tmp_path) == {}


def test_what_was_not_put_back_does_not_come_over_a_later_run(earlier):
    """A person may have moved it away, or a backup brought it back."""
    killed(earlier, RENAMES)
    (left,) = earlier.glob(".staging-*")
    hidden = left.rename(earlier.parent / left.name)
    publish(earlier, "later", stale=["extra"])
    hidden.rename(left)
    publish(earlier, stale=["extra"])
    assert content(earlier) == NEW


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


def test_two_writers_at_once_leave_one_file_whole(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: write_files(tmp_path, {"a.bin": bytes([n]) * 1_000_000}), range(120)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    content = (tmp_path / "a.bin").read_bytes()
    assert content == content[:1] * 1_000_000
