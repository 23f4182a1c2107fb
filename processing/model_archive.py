"""A model.tar.gz, unpacked only where it is whole.

tarfile stops at the two empty blocks that end a tar. What its bytes must add up to, gzip says after them:
whoever does not read on takes a flipped bit for a weight.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

READ_BYTES = 1 << 20
GZIP = b"\x1f\x8b"
# Nothing to serve on one instance comes near; a few MB of gzip can hold any number of zeros.
MAX_UNPACKED_BYTES = 4 << 30


class ArchiveError(Exception):
    """The archive is damaged or refused. The message begins with the verb: the caller names the archive."""


def unpack(archive: Path, folder: Path, only: Collection[str] = ()) -> None:
    """Unpacks all of it into `folder`, or the files that `only` names. Raises `ArchiveError`."""
    try:
        _check(archive)
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, _members(tar, only), filter="data")
    except tarfile.FilterError as error:
        raise ArchiveError(f"is refused: {error}") from None
    except (tarfile.TarError, OSError, ValueError, ArithmeticError, LookupError) as error:
        raise ArchiveError(f"cannot be unpacked: {error}") from None


def _check(archive: Path) -> None:
    """Reads to gzip's end, where Python compares length and CRC."""
    unpacked = 0
    with archive.open("rb") as file:
        if file.read(2) != GZIP:
            raise ArchiveError("is no gzip archive: name a model.tar.gz, or the folder of its content")
    try:
        with gzip.open(archive) as content:
            while piece := content.read(READ_BYTES):
                unpacked += len(piece)
                if unpacked > MAX_UNPACKED_BYTES:
                    raise ArchiveError(f"is refused: it holds more than {MAX_UNPACKED_BYTES >> 20:,} MiB")
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ArchiveError(f"cannot be unpacked: it is damaged, take another copy ({error})") from None


def _members(tar: tarfile.TarFile, only: Collection[str]) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if member.issparse():  # of any size, whatever the archive's
            raise ArchiveError(f"is refused: {member.name} is a sparse file")
        if not only or (member.isfile() and member.name.removeprefix("./") in only):
            yield member
