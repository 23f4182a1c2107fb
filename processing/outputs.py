"""Output folders that appear whole or not at all.

Everything is written into a hidden folder beside its place and renamed at the end. SageMaker makes the
output folders before the job starts, and they may be mounts: what is there already is replaced if an
earlier run made it, and a mount, which cannot be renamed over, takes the files one by one.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from processing.job import JobError, name_full

STAGING = ".staging-"


class OutputError(JobError):
    """The output folder cannot take the output."""


@contextmanager
def staged(folder: Path, parts: Sequence[str], ours: Callable[[Path], bool]) -> Iterator[Path]:
    """A place to write the `parts` (folders) of `folder`; they are published when the block ends well.

    `ours` says whether a part that is there already was made by an earlier run and may be replaced.
    Raises `OutputError` before anything is written if something else is in the way.
    """
    made = _make_folders(folder)
    staging = folder / f"{STAGING}{os.getpid()}"
    try:
        _remove_leftovers(folder)
        for part in parts:
            _check_free(folder / part, ours)
            (staging / part).mkdir(parents=True)
        yield staging
        for part in parts:
            _publish(staging / part, folder / part, staging / f"{part}.old")
    except BaseException as error:
        name_full(error, folder)
        shutil.rmtree(staging, ignore_errors=True)
        for path in made:
            _remove_if_empty(path)
        raise
    shutil.rmtree(staging, ignore_errors=True)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder that may be there already, each by rename, in the order given."""
    _make_folders(folder)
    temporary = {name: folder / f"{STAGING}{os.getpid()}-{name}" for name in files}
    try:
        for name, content in files.items():
            temporary[name].write_bytes(content)
        for name, path in temporary.items():
            path.replace(folder / name)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


def _make_folders(folder: Path) -> list[Path]:
    """Make the folder and what it lies in; returns what was made, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f'"{folder}" cannot be the output folder: a file is in its way') from None
    return missing


def _remove_if_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.EBUSY):
            raise


def _remove_leftovers(folder: Path) -> None:
    """What a killed run left behind."""
    for path in folder.glob(f"{STAGING}*"):
        number = path.name.removeprefix(STAGING)
        if number.isdigit() and (int(number) == os.getpid() or not _runs(int(number))):
            shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_free(place: Path, ours: Callable[[Path], bool]) -> None:
    if not place.exists():
        return
    if not place.is_dir():
        raise OutputError(f'"{place}" is in the way: it is no folder')
    if any(place.iterdir()) and not ours(place):
        raise OutputError(
            f'"{place}" holds files that are not from an earlier run; empty it or choose another'
        )


def _publish(new: Path, place: Path, old: Path) -> None:
    try:
        if place.exists():
            place.rename(old)
        new.rename(place)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM):
            raise
        _fill(new, place)


def _fill(new: Path, place: Path) -> None:
    """Into a folder that is a mount: its old files go, the new ones come by rename, lists after images."""
    for path in place.iterdir():
        path.unlink()
    for path in sorted(new.iterdir(), key=lambda path: (path.suffix != ".png", path.name)):
        temporary = place / f"{STAGING}{path.name}"
        shutil.move(path, temporary)
        temporary.replace(place / path.name)
