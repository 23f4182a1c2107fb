"""Keeps downloaded archives by their digest, and what a cut or a kill left of a download.

FOLDER/archives/<digest>       a whole archive, such as md5-… or sha256-…; appears by rename
FOLDER/uris/<sha256>.json      which archive a URI gave, and the version (entity tag) it had then
FOLDER/partial/<sha256>        what has come so far, with its version in <sha256>.json beside it
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from processing.download import Download
from processing.job import name_full
from processing.sources import usable_version

DIGEST = re.compile("md5-[0-9a-f]{32}|sha256-[0-9a-f]{64}")


@dataclass(frozen=True)
class Known:
    """What a URI gave last time."""

    digest: str
    version: str


class ArchiveCache:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def archive(self, digest: str) -> Path | None:
        """The whole archive of that digest, if it is here. Its content is for the reader to check."""
        path = self.folder / "archives" / digest
        return path if path.is_file() else None

    def known(self, uri: str) -> Known | None:
        """What `uri` gave last time, if that is still here and can be asked for by its version."""
        record = _read_json(self._place("uris", uri, ".json"))
        digest, version = record.get("digest"), usable_version(record.get("version"))
        # It becomes a path, and a damaged archive's file is removed: nothing but a digest may.
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest) or version is None:
            return None
        return Known(digest, version) if record.get("uri") == uri and self.archive(digest) else None

    def forget(self, digest: str) -> None:
        """Remove the archive of that digest, if it is here."""
        (self.folder / "archives" / digest).unlink(missing_ok=True)

    @contextmanager
    def partial(self, uri: str) -> Iterator[Partial]:
        """The place for a download of `uri`, locked; another process at the same URI gets another place."""
        path = self._place("partial", uri, "")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _locked(path) as (place, file):
                yield Partial(self, uri, place, file)
        except OSError as error:
            name_full(error, path)
            raise

    def keep(self, uri: str, path: Path, digest: str, version: str | None) -> None:
        archive = self.folder / "archives" / digest
        archive.parent.mkdir(parents=True, exist_ok=True)
        path.replace(archive)
        record = {"uri": uri, "digest": digest, "version": version}
        _write_json(self._place("uris", uri, ".json"), record)

    def _place(self, kind: str, uri: str, suffix: str) -> Path:
        return self.folder / kind / (hashlib.sha256(uri.encode()).hexdigest()[:32] + suffix)


class Partial:
    """A download in the making; opened where an earlier process left off, if it is known what that was of.

    Attributes:
        file: to write to, at its end.
        length: of what was here before, in bytes.
    """

    def __init__(self, cache: ArchiveCache, uri: str, path: Path, file: IO[bytes]) -> None:
        self._cache = cache
        self._uri = uri
        self._path = path
        self._note = path.with_name(path.name + ".json")
        self.file = file
        self.length = os.fstat(file.fileno()).st_size
        record = _read_json(self._note)
        size, version = record.get("size"), usable_version(record.get("version"))
        self.download = Download(size, version)
        if version is None or type(size) is not int or size <= self.length:
            self.restart()

    def restart(self) -> None:
        """Forget what was here."""
        self.file.truncate(0)
        self.length = 0
        self.download = Download()

    def note(self) -> None:
        """Write down what the bytes are of, so that a later process may go on."""
        _write_json(self._note, asdict(self.download))

    def chunks(self, size: int) -> Iterator[bytes]:
        """What was here before."""
        with self._path.open("rb") as file:
            left = self.length
            while left and (chunk := file.read(min(size, left))):
                left -= len(chunk)
                yield chunk

    def keep(self, digest: str) -> None:
        """The download is whole: into the cache with it."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self._cache.keep(self._uri, self._path, digest, self.download.version)
        self._note.unlink(missing_ok=True)

    def drop(self) -> None:
        self._path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    file = path.open("a+b")
    if not _lock(file, path):
        file.close()
        path = path.with_name(f"{path.name}.{os.getpid()}")
        file = path.open("a+b")
    with file:
        try:
            yield path, file
        finally:
            if path.suffix:
                path.unlink(missing_ok=True)
                path.with_name(path.name + ".json").unlink(missing_ok=True)
            elif not os.fstat(file.fileno()).st_size:  # nothing came
                path.unlink(missing_ok=True)


def _lock(file: IO[bytes], path: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Who held the lock may have renamed the file into the cache since it was opened here.
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(record), encoding="utf-8")
    temporary.replace(path)
