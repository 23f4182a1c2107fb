"""Folders that are kept up to date on S3 while a job runs: checkpoints, and outputs in Continuous mode."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from localaws.sagemaker.transfers import Location, TransferError, Transfers, files_below

log = logging.getLogger(__name__)

_SECONDS = 2.0


class FolderSync:
    """Uploads the files of some folders when they change."""

    def __init__(self, pairs: Sequence[tuple[Path, Location]], transfers: Transfers) -> None:
        self._pairs = pairs
        self._transfers = transfers
        self._seen: dict[Path, tuple[int, int]] = {}
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Uploads every few seconds while the block runs, and once more after it."""
        if not self._pairs:
            yield
            return
        thread = threading.Thread(target=self._repeat, name="sync", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self._upload()

    def note(self) -> None:
        """Takes what is there now as already uploaded."""
        self._seen = {path: _stamp(path) for path, _ in self._files()}

    def _repeat(self) -> None:
        while not self._over.wait(_SECONDS):
            try:
                self._upload()
            except (TransferError, FileNotFoundError) as error:
                log.warning("sync: %s; trying again in %.0f s", error, _SECONDS)

    def _files(self) -> Iterator[tuple[Path, Location]]:
        for folder, target in self._pairs:
            for path in files_below(folder):
                yield path, target.join(path.relative_to(folder).as_posix())

    def _upload(self) -> None:
        changed = [(path, place) for path, place in self._files() if self._seen.get(path) != _stamp(path)]
        stamps = {path: _stamp(path) for path, _ in changed}
        self._transfers.upload(changed)
        self._seen |= stamps


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
