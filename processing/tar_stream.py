"""Walks a tar as it streams by: plain files and folders only, names checked, nothing extracted.

`tarfile` reads each header; the walk between them is here, since its own stream mode copies every byte three
times and believes whatever size a header claims.
"""

from __future__ import annotations

import io
import itertools
import tarfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from processing.job import UnreadableError
from processing.stream import ForwardFile

BLOCK = 512
MAX_MEMBERS = 200_000
MAX_MEMBER_BYTES = 512 << 20
MAX_HEADER_BYTES = 1 << 20
_END = bytes(BLOCK)
# Of a name, which goes into messages and lists: controls, breaks of lines, and bytes that are no UTF-8. Odd
# spaces stay, which macOS writes into the names of its screenshots.
_CONTROL = ("Cc", "Cs", "Zl", "Zp")
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
# Headers that say more about the one that follows: long names, PAX records.
_PREFIXES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)


class TarError(UnreadableError):
    """The tar is damaged, or holds what has no business in a data set: the message names the member."""


@dataclass
class Member:
    """A plain file in the tar, to be read before the next one is asked for.

    Attributes:
        name: as the tar has it: not to be trusted as a path.
        size: in bytes.
    """

    name: str
    size: int
    _archive: str
    _file: ForwardFile
    _left: int

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end."""
        content = self._file.read(min(size, self._left))
        self._took(len(content), min(size, self._left))
        return content

    def readinto(self, target: memoryview) -> int:
        """Fill `target`, less only at the end; how much it was."""
        wanted = min(len(target), self._left)
        got = self._file.readinto(target[:wanted])
        self._took(got, wanted)
        return got

    def skip(self) -> None:
        """Pass over what was not read, and the padding after it."""
        left = self._left + -self.size % BLOCK
        if self._file.skip(left) < self._left:
            raise self._cut()
        self._left = 0

    def _took(self, got: int, wanted: int) -> None:
        self._left -= got
        if got < wanted:
            raise self._cut()

    def _cut(self) -> TarError:
        return TarError(f'{self._archive}: the tar ends inside its member "{self.name}"')


def members(file: ForwardFile, archive: str) -> Iterator[Member]:
    """The plain files of a tar, in its order; `archive` is its name for messages. Raises `TarError`."""
    for number in itertools.count():
        header = _next_header(file, archive)
        if header is None:
            if not number:
                raise TarError(f"{archive} is not a tar archive: it is empty")
            return
        if number == MAX_MEMBERS:
            raise TarError(f"{archive} has more than {MAX_MEMBERS:,} members")
        _check(header, archive)
        member = Member(header.name, header.size, archive, file, header.size)
        if header.type in _FILES:
            yield member
        member.skip()


def _next_header(file: ForwardFile, archive: str) -> tarfile.TarInfo | None:
    """The next member's header with all that prefixes say of it; None at the end."""
    blocks: list[bytes] = []
    while True:
        block = file.read(BLOCK)
        if not blocks and block in (b"", _END):
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise TarError(f"{archive} is not a readable tar archive: {error}") from None
        blocks.append(block)
        if header.type not in _PREFIXES:
            return _whole(blocks, header, archive) if len(blocks) > 1 else header
        if not 0 <= header.size <= MAX_HEADER_BYTES or len(blocks) > 8:
            raise TarError(f"{archive}: a header before {header.name!r:.100} claims {header.size:,} bytes")
        blocks.append(file.read(header.size + -header.size % BLOCK))


def _whole(blocks: list[bytes], last: tarfile.TarInfo, archive: str) -> tarfile.TarInfo:
    try:
        with tarfile.open(fileobj=io.BytesIO(b"".join(blocks)), mode="r:") as tar:
            header = tar.next()
    except (tarfile.TarError, ValueError, ArithmeticError, LookupError) as error:
        raise TarError(f"{archive}: the header of {last.name!r:.100} is damaged: {error}") from None
    if header is None:
        raise TarError(f"{archive}: the header of {last.name!r:.100} is damaged")
    return header


def _check(header: tarfile.TarInfo, archive: str) -> None:
    if any(unicodedata.category(letter) in _CONTROL for letter in header.name):
        raise TarError(
            f"{archive}: a member's name holds control characters, or is no UTF-8: {header.name!r:.100}"
        )
    path = PurePosixPath(header.name)
    if path.is_absolute() or ".." in path.parts:
        raise TarError(f'{archive}: member "{header.name}" points outside the archive')
    if header.type not in (*_FILES, tarfile.DIRTYPE) or header.issparse():
        raise TarError(f'{archive}: member "{header.name}" is neither a plain file nor a folder')
    if not 0 <= header.size <= MAX_MEMBER_BYTES:
        raise TarError(f'{archive}: member "{header.name}" claims {header.size:,} bytes')
