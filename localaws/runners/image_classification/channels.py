"""Labelled images out of the algorithm's channels: RecordIO (files or pipes), or images with `.lst` files.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from localaws.runners.image_classification.parameters import ClientError

RECORDIO = "application/x-recordio"
IMAGES = ("application/x-image", "image/png", "image/jpeg")
_MAGIC = struct.pack("<I", 0xCED7230A)
_HEADER = struct.Struct("<IfQQ")  # IRHeader of MXNet's recordio.py: flag, label, id, id2
_WHOLE, _FIRST, _LAST = 0, 1, 3


def read_channel(
    data: Path, name: str, config: Mapping[str, Any], shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A channel's images, uint8 [n, channels, height, width], and labels, int64 [n]. Raises ClientError.

    Args:
        data: /opt/ml/input/data.
        config: the content of inputdataconfig.json.
        shape: channels, height and width, which images of another size are brought to.
    """
    if name not in config:
        raise ClientError(f"ClientError: the channel {name!r} is missing")
    content_type = (config[name].get("ContentType") or "").partition(";")[0]
    if content_type == RECORDIO:
        examples = _from_recordio(data, name, config[name])
    elif content_type in IMAGES:
        examples = _from_images(data, name, config)
    else:
        known = ", ".join((RECORDIO, *IMAGES))
        raise ClientError(f"ClientError: the channel {name!r} has the content type {content_type!r}: {known}")
    pairs = [(decode(image, shape), label) for image, label in examples]
    if not pairs:
        raise ClientError(f"ClientError: the channel {name!r} holds no image")
    images, labels = zip(*pairs, strict=True)
    return np.stack(images), np.array(labels, np.int64)


def decode(image: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 [channels, height, width]. Raises ClientError for what is no image."""
    channels, height, width = shape
    try:
        with Image.open(io.BytesIO(image)) as opened:
            pixels = opened.convert("L" if channels == 1 else "RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ClientError(f"ClientError: Unable to decode an image: {error}") from error
    if pixels.size != (width, height):
        pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(pixels, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)


def _from_recordio(data: Path, name: str, channel: Mapping[str, Any]) -> Iterator[tuple[bytes, int]]:
    if channel.get("TrainingInputMode") == "Pipe":
        path = data / f"{name}_0"  # the pipe of the first epoch: what it holds is kept for the others
    else:
        files = sorted((data / name).rglob("*.rec"))
        if len(files) != 1:
            raise ClientError(f"ClientError: the channel {name!r} needs one .rec file and has {len(files)}")
        path = files[0]
    with path.open("rb") as stream:
        for content in read_records(stream):
            _, label, _, _ = _HEADER.unpack_from(content)
            yield content[_HEADER.size :], int(label)


def read_records(stream: BinaryIO) -> Iterator[bytes]:
    """The records of a RecordIO stream (`dmlc/recordio.h`). Raises ClientError."""
    parts: list[bytes] = []
    while head := stream.read(8):
        if len(head) != 8 or head[:4] != _MAGIC:
            raise ClientError("ClientError: the RecordIO data is damaged: a record has no magic number")
        (word,) = struct.unpack("<I", head[4:])
        flag, length = word >> 29, word & ((1 << 29) - 1)
        part = stream.read(length)
        if len(part) != length:
            raise ClientError("ClientError: the RecordIO data ends in the middle of a record")
        stream.read(-length % 4)
        parts = [part] if flag in (_WHOLE, _FIRST) else [*parts, part]
        if flag in (_WHOLE, _LAST):
            yield _MAGIC.join(parts)


def _from_images(data: Path, name: str, config: Mapping[str, Any]) -> Iterator[tuple[bytes, int]]:
    listing = f"{name}_lst"
    if listing not in config:
        raise ClientError(f"ClientError: the channel {listing!r} is missing")
    lists = sorted((data / listing).rglob("*.lst"))
    if len(lists) != 1:
        raise ClientError(f"ClientError: the channel {listing!r} needs one .lst file and has {len(lists)}")
    for number, line in enumerate(lists[0].read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split("\t")
        path = data / name / fields[-1]
        if len(fields) != 3 or not fields[1].isdecimal() or not path.is_file():
            raise ClientError(
                f"ClientError: {lists[0].name}, line {number}: no index, label and image: {line}"
            )
        yield path.read_bytes(), int(fields[1])
