"""Writes archives in CIFAR-100's own layouts, byte for byte the same for the same records.

The pickles are those of the official python version: Python 2's, in protocol 2, with byte strings, so
that whatever reads the official archive reads these. Python 3's `pickle` has no way to write byte strings
in that protocol.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from processing.cifar100 import COARSE_LABEL_NAMES, COARSE_OF_FINE, FINE_LABEL_NAMES, PIXEL_BYTES

Version = Literal["python", "binary"]
VERSIONS: tuple[Version, ...] = ("python", "binary")
# The time that the members carry: any will do, as long as it is always the same one.
MEMBER_TIME = 1_236_000_000
GZIP_LEVEL = 6


@dataclass(frozen=True)
class Split:
    """Records of one split.

    Attributes:
        labels: fine labels; [n].
        pixels: RGB planes; uint8 [n, 3, 32, 32] or [n, 3072].
        names: a file name for each record.
    """

    labels: np.ndarray
    pixels: np.ndarray
    names: list[str]


def write(
    path: Path, train: Split, test: Split, version: Version = "python", level: int = GZIP_LEVEL
) -> None:
    """Write a tar.gz at `path`, which appears whole or not at all."""
    splits = {"train": train, "test": test}
    members = _python_members(splits) if version == "python" else _binary_members(splits)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with (
            temporary.open("wb") as file,
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=level) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for name, content in members:
                _add(tar, f"cifar-100-{version}/{name}", content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mtime = MEMBER_TIME
    tar.addfile(member, io.BytesIO(content))


def _python_members(splits: dict[str, Split]) -> Iterator[tuple[str, bytes]]:
    for name, split in splits.items():
        table = {
            "filenames": [name.encode() for name in split.names],
            "batch_label": f"{name}ing batch 1 of 1".encode(),
            "fine_labels": [int(label) for label in split.labels],
            "coarse_labels": [COARSE_OF_FINE[label] for label in split.labels],
            "data": np.ascontiguousarray(split.pixels, np.uint8).reshape(-1, PIXEL_BYTES),
        }
        yield name, dump(table)
    names = {"fine_label_names": FINE_LABEL_NAMES, "coarse_label_names": COARSE_LABEL_NAMES}
    yield "meta", dump({key: [name.encode() for name in value] for key, value in names.items()})


def _binary_members(splits: dict[str, Split]) -> Iterator[tuple[str, bytes]]:
    yield "coarse_label_names.txt", _lines(COARSE_LABEL_NAMES)
    yield "fine_label_names.txt", _lines(FINE_LABEL_NAMES)
    for name, split in splits.items():
        records = np.empty((len(split.labels), 2 + PIXEL_BYTES), np.uint8)
        records[:, 0] = np.array(COARSE_OF_FINE, np.uint8)[split.labels]
        records[:, 1] = split.labels
        records[:, 2:] = split.pixels.reshape(-1, PIXEL_BYTES)
        yield f"{name}.bin", records.tobytes()


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


Plain = dict | list | tuple | bytes | bool | int | None | np.ndarray


def dump(value: Plain) -> bytes:
    """A pickle in protocol 2, as Python 2 would write it; texts become byte strings, arrays are of bytes."""
    parts = [b"\x80\x02"]
    _dump(value, parts)
    return b"".join([*parts, b"."])


def _dump(value: Plain | str, parts: list[bytes]) -> None:
    if value is None or isinstance(value, bool):
        parts.append({None: b"N", True: b"\x88", False: b"\x89"}[value])
    elif isinstance(value, int):
        parts.append(_integer(value))
    elif isinstance(value, (bytes, str)):
        content = value.encode() if isinstance(value, str) else value
        short = len(content) < 256
        parts += [b"U" + bytes([len(content)]) if short else b"T" + struct.pack("<I", len(content)), content]
    elif isinstance(value, dict):
        parts.append(b"}(")
        for pair in value.items():
            _dump(pair[0], parts)
            _dump(pair[1], parts)
        parts.append(b"u")
    elif isinstance(value, (list, tuple)):
        parts.append(b"](" if isinstance(value, list) else b"(")
        for item in value:
            _dump(item, parts)
        parts.append(b"e" if isinstance(value, list) else b"t")
    else:
        _dump_bytes_array(value, parts)


def _dump_bytes_array(array: np.ndarray, parts: list[bytes]) -> None:
    """An array of unsigned bytes, in the steps in which numpy puts one together again."""
    parts.append(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01")
    _dump(array.shape, parts)
    parts.append(b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR")
    _dump((3, b"|", None, None, None, -1, -1, 0), parts)
    parts.append(b"b\x89")
    _dump(array.tobytes(), parts)
    parts.append(b"tb")


def _integer(value: int) -> bytes:
    if 0 <= value < 1 << 8:
        return struct.pack("<cB", b"K", value)
    if 0 <= value < 1 << 16:
        return struct.pack("<cH", b"M", value)
    return struct.pack("<ci", b"J", value)
