"""RecordIO files as SageMaker's built-in image classification reads them, in File and in Pipe mode.

A record is a magic number, a word of a 3-bit flag and a 29-bit length, the content, and padding to 4 bytes.
Content that holds the magic number itself is cut there into parts. Formats: `dmlc/recordio.h` of dmlc-core,
and `IRHeader` of MXNet's `recordio.py`. https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

MAGIC = struct.pack("<I", 0xCED7230A)
_WHOLE, _FIRST, _MIDDLE, _LAST = 0, 1, 2, 3
_HEADER = struct.Struct("<IfQQ")  # flag 0: one label; the label; the image's number; unused


def record(number: int, label: int, image: bytes) -> bytes:
    """One labelled image; `image` is a whole PNG or JPEG file, `number` its place in the list."""
    return b"".join(
        MAGIC + struct.pack("<I", flag << 29 | len(part)) + part + bytes(-len(part) % 4)
        for flag, part in _parts(_HEADER.pack(0, label, number, 0) + image)
    )


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The content between the magic numbers that stand in it at multiples of 4."""
    begin = at = 0
    while (at := content.find(MAGIC, at)) >= 0:
        if at % 4:
            at += 1
            continue
        yield _MIDDLE if begin else _FIRST, content[begin:at]
        begin = at = at + 4
    yield _LAST if begin else _WHOLE, content[begin:]
