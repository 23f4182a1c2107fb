"""CIFAR-100's archives, read as a stream: which members there are, and the records in them.

Nothing is extracted to disk, and no name in an archive becomes a path. Both versions are read:
the python version's pickles hold `data` (uint8, records x 3,072), `fine_labels` and `filenames`; a record
of the binary version is a coarse byte, a fine byte and 3,072 bytes of pixels.
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from processing import plain_pickle
from processing.cifar100 import CHANNELS, FINE_LABEL_NAMES, IMAGE_SIDE, PIXEL_BYTES, UnknownClassError
from processing.job import JobError, UnreadableError
from processing.rows import PickedRows, RowChoice
from processing.stream import ForwardFile
from processing.tar_stream import Member, members

BINARY_RECORD_BYTES = 2 + PIXEL_BYTES
BINARY_RECORDS_A_READ = 512
MAX_NAMES_BYTES = 1 << 20
# A pickle can give one long name to every record, and needs its bytes only once.
MAX_FILE_NAME = 1000


class ArchiveContentError(UnreadableError):
    """The archive is readable, and a member is not what it should be: the message names it."""


class OtherArchiveError(ArchiveContentError):
    """The archive is readable, and none of its members is one of CIFAR-100's."""


@dataclass(frozen=True)
class Records:
    """Records of one split that were asked for, in the archive's order.

    Attributes:
        split: `train` or `test`.
        numbers: each record's place in its split, from 0; int64 [n].
        labels: fine labels, 0..99; uint8 [n].
        pixels: RGB; uint8 [n, 3, 32, 32].
        names: the file names that the python version carries, None for the binary version. Not to be trusted
            as paths.
    """

    split: str
    numbers: np.ndarray
    labels: np.ndarray
    pixels: np.ndarray
    names: list[str] | None

    def where(self, chosen: np.ndarray) -> Records:
        """Those that a bool [n] chooses."""
        names = None if self.names is None else list(compress(self.names, chosen))
        return Records(self.split, self.numbers[chosen], self.labels[chosen], self.pixels[chosen], names)

    def parts(self, count: int) -> Iterator[Records]:
        """The same, at most `count` at a time."""
        for start in range(0, len(self.labels), count):
            part = slice(start, start + count)
            names = None if self.names is None else self.names[part]
            yield Records(self.split, self.numbers[part], self.labels[part], self.pixels[part], names)


Take = Callable[[Records], None]


def read_records(
    file: ForwardFile,
    archive: str,
    wanted: Iterable[int],
    take: Take,
    other: Callable[[Member], bool] = lambda _member: False,
) -> None:
    """Hands over the records of both splits whose fine label is in `wanted`, while the rest streams by.

    `archive` is its name for messages. `wanted` is looked at when the first of CIFAR-100's members is there.
    Members that are none go to `other`, which says whether it has taken them; then there may be no others.
    Raises `ArchiveContentError`, `tar_stream.TarError`, `plain_pickle.PickleContentError` or
    `stream.CompressedDataError`.
    """
    chosen = np.zeros(256, bool)
    seen: set[str] = set()
    taken_by_other = ""
    for member in members(file, archive):
        base = PurePosixPath(member.name).name
        read = _READERS.get(base)
        if read is None:
            if other(member):
                taken_by_other = member.name
                _check_alone(archive, seen, taken_by_other)
            continue
        if base in seen:
            raise ArchiveContentError(f'{archive} holds "{base}" twice, the second as {member.name}')
        seen.add(base)
        _check_alone(archive, seen, taken_by_other)
        try:
            if len(seen) == 1:
                chosen[list(wanted)] = True
            read(member, chosen, take)
        except (UnreadableError, UnknownClassError) as error:
            raise _with_hint(error, member) from None
    file.drain()
    if not taken_by_other:
        _check_complete(archive, seen)


def _with_hint(error: JobError, member: Member) -> JobError:
    """The error; elsewhere than in CIFAR-100's own folders with why the member was read at all."""
    path = PurePosixPath(member.name)
    if path.parent.name in _FOLDERS:
        return error
    return type(error)(f'{error}; a file called "{path.name}" is read as CIFAR-100\'s: rename what is none')


def _check_alone(archive: str, seen: set[str], taken_by_other: str) -> None:
    if seen and taken_by_other:
        raise ArchiveContentError(
            f'{archive} holds CIFAR-100\'s "{min(seen)}" and {taken_by_other}: one of both'
        )


def _check_complete(archive: str, seen: set[str]) -> None:
    for pair in (("train", "test"), ("train.bin", "test.bin")):
        found = seen.intersection(pair)
        if len(found) == 1:
            (missing,) = set(pair) - found
            raise ArchiveContentError(f'{archive} holds "{found.pop()}" but no "{missing}"')
    if seen >= {"train", "train.bin"}:
        raise ArchiveContentError(f"{archive} holds both versions of the data")
    if not seen & {"train", "train.bin"}:
        raise OtherArchiveError(
            f'{archive} is not a CIFAR-100 archive: it holds neither "train" and "test" '
            'nor "train.bin" and "test.bin"'
        )


def _read_python_split(member: Member, chosen: np.ndarray, take: Take) -> None:
    """Where labels and names stand before the data, as they do in the official archive, in one pass."""
    handed: list[np.ndarray] = []  # the labels of each table whose rows were handed over

    def choose(known: dict[Any, Any]) -> RowChoice | None:
        table = _string_keys(known, member)
        if "fine_labels" not in table:
            return None
        labels = _labels(table["fine_labels"], member)
        rows = np.flatnonzero(chosen[labels])
        if "filenames" not in table:
            return RowChoice(rows, len(labels), PIXEL_BYTES)
        # Twice the same is taken: files are named by their records, and no name is a path.
        names = _file_names(table["filenames"], member, len(labels))

        def hand_over(before: int, content: np.ndarray) -> None:
            if not before:
                handed.append(labels)
            if len(handed) > 1:
                raise ArchiveContentError(
                    f"{member.name} holds more than one table of {len(labels):,} images"
                )
            take(_records(member, rows[before : before + len(content)], labels, content, names))

        return RowChoice(rows, len(labels), PIXEL_BYTES, hand_over)

    table = _string_keys(plain_pickle.load(member, member.size, member.name, choose), member)
    missing = {"data", "fine_labels"} - table.keys()
    if missing:
        raise ArchiveContentError(f'{member.name} has no "{min(missing)}": not a CIFAR-100 split')
    labels = _labels(table["fine_labels"], member)
    rows = np.flatnonzero(chosen[labels])
    images, pixels = _pixels(table["data"], rows, member)
    if len(labels) != images:
        raise ArchiveContentError(f"{member.name} has {images:,} images and {len(labels):,} labels")
    names = _file_names(table.get("filenames"), member, images)
    if not handed:
        take(_records(member, rows, labels, pixels, names))
    elif not isinstance(table["data"], PickedRows):
        raise ArchiveContentError(f"{member.name}: {images:,} images are not in its data")
    elif not np.array_equal(handed[0], labels):
        raise ArchiveContentError(f"{member.name} gives other labels after its data than before")


def _records(
    member: Member, rows: np.ndarray, labels: np.ndarray, pixels: np.ndarray, names: list[bytes | str] | None
) -> Records:
    """`rows` of the split and their `pixels`; labels and names are of the whole split."""
    return Records(
        split=PurePosixPath(member.name).stem,
        numbers=rows,
        labels=labels[rows],
        pixels=pixels.reshape(-1, CHANNELS, IMAGE_SIDE, IMAGE_SIDE),
        names=None if names is None else [_text(names[row]) for row in rows],
    )


def _pixels(data: Any, rows: np.ndarray, member: Member) -> tuple[int, np.ndarray]:
    """How many rows the table has, and the content of those in `rows`; uint8 [rows, 3072]."""
    if isinstance(data, PickedRows) and np.array_equal(data.choice.numbers, rows):
        return data.choice.count, data.content
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (PIXEL_BYTES,):
        raise ArchiveContentError(f"{member.name}: data is not rows of {PIXEL_BYTES:,} unsigned bytes")
    return len(data), data[rows[rows < len(data)]]


def _string_keys(table: Any, member: Member) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise ArchiveContentError(f"{member.name} does not hold a dictionary")
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): table[key] for key in table}


def _labels(values: Any, member: Member) -> np.ndarray:
    """Checked before they become bytes: 256 would turn into 0."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.nbytes <= plain_pickle.LARGE:
        values = values.tolist()  # of a table, or of rows of nothing, it would be a list for each row
    if not isinstance(values, list):
        raise ArchiveContentError(f"{member.name}: fine_labels is not a list")
    right = range(len(FINE_LABEL_NAMES))
    if not set(map(type, values)) <= {int} or not set(values) <= set(right):
        wrong = (pair for pair in enumerate(values) if type(pair[1]) is not int or pair[1] not in right)
        raise _label_error(member, *next(wrong))
    return np.array(values, np.uint8)


def _label_error(member: Member, number: int, value: Any) -> ArchiveContentError:
    # Not the repr of just anything: of deep lists and of endless numbers there is none.
    plain = isinstance(value, (float, str, bytes)) or (isinstance(value, int) and abs(value) < 1 << 64)
    shown = f"{value!r:.40}" if plain else f"a {type(value).__name__}"
    return ArchiveContentError(
        f"{member.name}: record {number:,} has the label {shown}; CIFAR-100's are 0 to 99"
    )


def _file_names(values: Any, member: Member, images: int) -> list[bytes | str] | None:
    if values is None:
        return None
    names = _names(values, "filenames", member)
    if len(names) != images:
        raise ArchiveContentError(f"{member.name} has {images:,} images and {len(names):,} file names")
    if max(map(len, names), default=0) > MAX_FILE_NAME:
        raise ArchiveContentError(f"{member.name} has a file name of more than {MAX_FILE_NAME:,} characters")
    return names


def _names(values: Any, what: str, member: Member) -> list[bytes | str]:
    if not isinstance(values, list) or not set(map(type, values)) <= {bytes, str}:
        raise ArchiveContentError(f"{member.name}: {what} is not a list of names")
    return values


def _text(name: bytes | str) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else name


def _read_binary_split(member: Member, chosen: np.ndarray, take: Take) -> None:
    if member.size % BINARY_RECORD_BYTES:
        raise ArchiveContentError(
            f"{member.name} has {member.size:,} bytes: "
            f"no whole number of {BINARY_RECORD_BYTES:,}-byte records"
        )
    records = member.size // BINARY_RECORD_BYTES
    buffer = np.empty((min(BINARY_RECORDS_A_READ, records), BINARY_RECORD_BYTES), np.uint8)
    for first in range(0, records, BINARY_RECORDS_A_READ):
        table = buffer[: records - first]
        member.readinto(table.reshape(-1).data)
        labels = table[:, 1]
        if labels.max() >= len(FINE_LABEL_NAMES):
            row = int(labels.argmax())
            raise _label_error(member, first + row, int(labels[row]))
        rows = np.flatnonzero(chosen[labels])
        take(
            Records(
                split=PurePosixPath(member.name).stem,
                numbers=first + rows,
                labels=labels[rows],
                pixels=table[rows, 2:].reshape(-1, CHANNELS, IMAGE_SIDE, IMAGE_SIDE),
                names=None,
            )
        )


def _check_python_names(member: Member, _chosen: np.ndarray, _take: Take) -> None:
    _check_names_size(member)
    table = _string_keys(plain_pickle.load(member, member.size, member.name), member)
    names = _names(table.get("fine_label_names", []), "fine_label_names", member)
    _check_names(list(map(_text, names)), member)


def _check_binary_names(member: Member, _chosen: np.ndarray, _take: Take) -> None:
    _check_names_size(member)
    _check_names(member.read(member.size).decode("latin-1").split(), member)


def _check_names_size(member: Member) -> None:
    if member.size > MAX_NAMES_BYTES:
        raise ArchiveContentError(f"{member.name} claims {member.size:,} bytes for 100 names")


def _check_names(names: list[str], member: Member) -> None:
    if tuple(names) != FINE_LABEL_NAMES:
        raise ArchiveContentError(f"{member.name} does not list CIFAR-100's 100 fine labels")


_Read = Callable[[Member, np.ndarray, Take], None]

_FOLDERS = ("cifar-100-python", "cifar-100-binary")
_READERS: dict[str, _Read] = {
    "train": _read_python_split,
    "test": _read_python_split,
    "meta": _check_python_names,
    "train.bin": _read_binary_split,
    "test.bin": _read_binary_split,
    "fine_label_names.txt": _check_binary_names,
}
