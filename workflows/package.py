"""Deployment packages of the handlers: byte-identical for the same source, on any machine."""

from __future__ import annotations

import io
import zipfile
from importlib.resources import files

# The earliest time that a zip can hold: what a package is called by is its digest, not when it was made.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def function_zip(folder: str) -> bytes:
    """The zip of `lambdas/<folder>`: `handler.py` and nothing else.

    Stored and not deflated: compressors differ in their output from version to version, and a handler is
    smaller than the limits by orders of magnitude.
    """
    source = files(f"lambdas.{folder}").joinpath("handler.py").read_bytes()
    entry = zipfile.ZipInfo("handler.py", _EPOCH)
    entry.create_system = 3  # Unix, on whatever system it is made; Lambda honours the mode
    entry.external_attr = 0o644 << 16
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr(entry, source)
    return archive.getvalue()
