"""Output folders that appear whole or not at all.

Everything is written into a hidden folder beside its place and renamed at the end, the last folder (the
statistics) last: while it is missing, the rest is not to be trusted. SageMaker makes the output folders
before the job starts, and they may be mounts: what is there already is replaced if an earlier run made it,
and a mount, which cannot be renamed over, takes the files one by one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from processing.job import JobError, name_full

STAGING = ".staging-"
PROCESS = re.compile("[1-9][0-9]{0,6}")  # what follows in a staging folder's name
# In a staging folder while publishing: an earlier run's parts, before any new one is in its place, and after.
OLD, REPLACED = "old", "replaced"


class OutputError(JobError):
    """The output folder cannot take the output."""


@contextmanager
def staged(
    folder: Path,
    parts: Sequence[str],
    ours: Callable[[Path], bool],
    stale: Sequence[str] = (),
    begun: Callable[[Path], bool] | None = None,
) -> Iterator[Path]:
    """A place to write the `parts` (folders) of `folder`; they are published when the block ends well.

    The last part says that all are there: it leaves first and comes last. When publishing fails, what was
    there comes back; when it is killed, the next run over the folder puts it back before all else.

    `ours` says whether a part that is there already was made by an earlier run and may be replaced; `stale`
    parts of an earlier run go when the new ones come. `begun` says whether a part in a killed run's staging
    folder was made by that run (by default as `ours` does).
    Raises `OutputError` before anything is written if something else is in the way.
    """
    every = [*stale, *parts]
    with _folder(folder), _alone_in(folder):
        _settle_leftovers(folder, every, begun or ours)
        _check_free(folder, every, ours)
        staging = _make_staging(folder)
        try:
            for part in parts:
                (staging / part).mkdir()
            yield staging
            _check_free(folder, every, ours)  # a person may have put something there meanwhile
            _publish(staging, folder, parts, every)
        except BaseException:
            with suppress(OSError):  # then the next run does it
                _settle(staging, folder, every)
            raise
        _settle(staging, folder, every)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder that may be there already: first all, then each by rename, in their order.

    Two at once have temporary files of their own. Raises `OutputError`, and `OSError` with the file's path.
    """
    _make_folders(folder)
    temporary = {name: folder / f"{STAGING}{secrets.token_hex(8)}" for name in files}
    name = ""
    try:
        for name, content in files.items():
            temporary[name].write_bytes(content)
        for name, path in temporary.items():
            path.replace(folder / name)
    except OSError as error:
        error.filename, error.filename2 = str(folder / name), None
        raise
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Has the folder made; it goes again if nothing is in it at the end."""
    made = _make_folders(folder)
    try:
        yield
    except BaseException as error:
        name_full(error, folder)
        raise
    finally:
        for path in made:
            _remove_if_empty(path)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Refuses a second run meanwhile. The lock ends with the process, however that ends."""
    place = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f'another run writes into "{folder}": wait for its end, or choose another folder'
            ) from None
        yield
    finally:
        os.close(place)


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


def _make_staging(folder: Path) -> Path:
    staging = folder / f"{STAGING}{os.getpid()}"
    try:
        staging.mkdir()
    except FileExistsError:
        raise OutputError(
            f'"{staging}" holds files that are not from an earlier run; move it or choose another folder'
        ) from None
    return staging


def _settle_leftovers(folder: Path, parts: Sequence[str], begun: Callable[[Path], bool]) -> None:
    """Put back or remove what a killed run left behind."""
    for path in folder.glob(f"{STAGING}*"):
        if PROCESS.fullmatch(path.name.removeprefix(STAGING)) and _is_staging(path, parts, begun):
            _settle(path, folder, parts)


def _is_staging(path: Path, parts: Sequence[str], begun: Callable[[Path], bool]) -> bool:
    """Whether nothing is in a folder but what `staged` puts there."""
    if not _is_folder(path):
        return False
    asides = [path / name for name in (OLD, REPLACED) if _is_folder(path / name)]
    inner = [each for place in (path, *asides) for each in place.iterdir() if each not in asides]
    return all(each.name in parts and _is_folder(each) and begun(each) for each in inner)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _check_free(folder: Path, parts: Sequence[str], ours: Callable[[Path], bool]) -> None:
    for place in (folder / part for part in parts):
        if not place.exists() and not place.is_symlink():
            continue
        if not _is_folder(place):
            raise OutputError(f'"{place}" is in the way: it is no folder')
        if any(place.iterdir()) and not ours(place):
            raise OutputError(
                f'"{place}" holds files that are not from an earlier run; empty it or choose another'
            )


def _publish(staging: Path, folder: Path, parts: Sequence[str], every: Sequence[str]) -> None:
    (staging / OLD).mkdir()
    for part in reversed(every):
        if (folder / part).exists():
            _move(folder / part, staging / OLD / part)
    (staging / OLD).rename(staging / REPLACED)  # whoever comes after a kill sees how far this came
    for part in parts:
        _move(staging / part, folder / part)


def _settle(staging: Path, folder: Path, every: Sequence[str]) -> None:
    """Remove a staging folder; first what it has of an earlier run goes back, unless `folder` is whole."""
    last = every[-1]
    there = _names(folder / last)
    # File by file, some of the last part may have left or come, and others not yet.
    missing = (_names(staging / last) | _names(staging / OLD / last)) - there
    if (missing or not there) and (staging / last).exists():
        _put_back(staging, folder, every)
    shutil.rmtree(staging, ignore_errors=True)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def _put_back(staging: Path, folder: Path, every: Sequence[str]) -> None:
    """Undo what was done of `_publish`, step by step backwards, so that it may be killed as well."""
    if (staging / REPLACED).exists():
        for part in every:
            if (folder / part).exists():
                _move(folder / part, staging / part)
        (staging / REPLACED).rename(staging / OLD)
    for part in every:
        if (staging / OLD / part).exists():
            _move(staging / OLD / part, folder / part)


def _move(folder: Path, target: Path) -> None:
    """By rename, or where one of both is a mount, file by file, lists after images.

    A file is at its new place before it leaves the old one: a kill loses none.
    """
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM):
            raise
        target.mkdir(exist_ok=True)
        for path in sorted(folder.iterdir(), key=lambda path: (path.suffix != ".png", path.name)):
            if not path.name.startswith(STAGING):  # half of a file that is still where it came from
                temporary = target / f"{STAGING}{path.name}"
                shutil.copy2(path, temporary)
                temporary.replace(target / path.name)
            path.unlink()
        _remove_if_empty(folder)
