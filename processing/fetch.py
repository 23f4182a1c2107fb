"""One pass over an archive's bytes, wherever they are: hashed and counted on the way, kept for next time."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from io import FileIO
from pathlib import Path

from processing.cache import ArchiveCache, Partial
from processing.download import CHUNK_BYTES, Download, check_size, read_through_cuts
from processing.job import UnreadableError
from processing.progress import Meter
from processing.sources import LocalSource, RemoteSource, ReplacedError, TransferError, UnchangedError


class ChecksumError(UnreadableError):
    """The archive is not the one that was meant."""


class Fetch:
    """An archive about to be read, once.

    Attributes:
        bytes, sha256, md5: of what was read; final after `chunks` ended. The md5 is counted only where one
            is expected, since it takes longer than all other reading.
    """

    def __init__(
        self, source: LocalSource | RemoteSource, md5: str | None = None, cache: ArchiveCache | None = None
    ) -> None:
        self.uri = source.uri
        self.name = source.name
        self.bytes = 0
        self._source = source
        self._expected = md5
        self._cache = cache
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._sha256 = hashlib.sha256()
        self._copy: str | None = None  # the digest of the kept archive that was read
        self._kept: str | None = None  # or of the one that was kept now
        self._partial: Partial | None = None
        self._meter: Meter | None = None

    @property
    def md5(self) -> str | None:
        return self._md5.hexdigest() if self._md5 and self._expected else None

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def chunks(self) -> Generator[bytes, None, None]:
        """The archive's bytes. Raises `ChecksumError` at the end if they are not those that were meant."""
        if isinstance(self._source, LocalSource):
            yield from self._counted(self._read_file(self._source.path, f"reading {self.name}"))
        elif self._cache is None:
            download = Download()
            yield from self._counted(self._metered(read_through_cuts(self._source, download), download))
        else:
            yield from self._through_cache(self._source, self._cache)
        if self._meter:
            self._meter.finish()
        self._check()

    def discard(self) -> bool:
        """Let go of an archive that cannot be read; true if it was a kept one: another may be fetched.

        Its digest is no proof: a server that cut it short may have named no length, and it is of that.
        """
        if self._partial:
            self._partial.drop()
        for digest in (self._copy, self._kept):
            if self._cache and digest:
                self._cache.forget(digest)
        return self._copy is not None

    def _check(self) -> None:
        if self._expected and self.md5 != self._expected:
            raise ChecksumError(
                f"{self.uri} has the md5 {self.md5}, not {self._expected}: not the archive that was meant"
            )
        if self._copy and self._copy not in self._digests():
            raise ChecksumError(f"the kept copy of {self.uri} is not what its name says, {self._copy}")

    def _digests(self) -> set[str]:
        """As the cache names what was read."""
        return {f"sha256-{self.sha256}"} | ({f"md5-{self._md5.hexdigest()}"} if self._md5 else set())

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._sha256.update(chunk)
            if self._md5:
                self._md5.update(chunk)
            self.bytes += len(chunk)
            check_size(self.name, self.bytes)
            if self._meter:
                self._meter.add(len(chunk))
            yield chunk

    def _read_file(self, path: Path, label: str) -> Iterator[bytes]:
        with path.open("rb", buffering=0) as file:
            self._meter = Meter(label, path.stat().st_size)
            while chunk := _read(file, path):
                yield chunk

    def _metered(self, chunks: Iterator[bytes], download: Download) -> Iterator[bytes]:
        for chunk in chunks:
            if self._meter is None:  # the size is known once the server has answered
                self._meter = Meter(f"fetching {self.name}", download.size)
            yield chunk

    def _through_cache(self, source: RemoteSource, cache: ArchiveCache) -> Iterator[bytes]:
        copy = self._current_copy(source, cache)
        if copy:
            yield from self._counted(self._read_file(copy, f"reading the kept {self.name}"))
            return
        with cache.partial(source.uri) as partial:
            self._partial = partial
            yield from self._counted(self._continued(source, partial))
            self._check()
            self._kept = f"md5-{self.md5}" if self._expected else f"sha256-{self.sha256}"
            partial.keep(self._kept)

    def _current_copy(self, source: RemoteSource, cache: ArchiveCache) -> Path | None:
        """The kept archive, if it is the one that is meant, or still the one that the URI gives."""
        if self._expected:
            digest = f"md5-{self._expected}"
        else:
            known = cache.known(source.uri)
            if known is None or not _unchanged(source, known.version):
                return None
            digest = known.digest
            if digest.startswith("md5-"):  # kept when one was expected; now only to check the copy by it
                self._md5 = hashlib.md5(usedforsecurity=False)
        path = cache.archive(digest)
        self._copy = digest if path else None
        return path

    def _continued(self, source: RemoteSource, partial: Partial) -> Iterator[bytes]:
        """What an earlier process left of the download, then the rest of it, which is added to the file."""
        chunks = read_through_cuts(source, partial.download, partial.length)
        try:  # the first answer shows whether what is here belongs to what is there
            first = next(chunks, b"")
        except ReplacedError:
            partial.restart()
            chunks = read_through_cuts(source, partial.download)
            first = next(chunks, b"")
        partial.note()
        self._meter = Meter(f"fetching {self.name}", partial.download.size)
        yield from partial.chunks(CHUNK_BYTES)
        for chunk in itertools.chain([first], chunks):
            partial.file.write(chunk)
            yield chunk


def _read(file: FileIO, path: Path) -> bytes:
    try:
        return file.read(CHUNK_BYTES)
    except OSError as error:
        error.filename = str(path)  # a failed read knows none
        raise


def _unchanged(source: RemoteSource, version: str) -> bool:
    """Whether the archive is still of this version; also where the server does not obey and sends it anew."""
    try:
        answer = source.open(unless=version)
        with closing(answer.stream):
            return answer.version == version
    except UnchangedError:
        return True
    except TransferError:
        return False  # the download that follows has the patience for it
