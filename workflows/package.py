"""What the templates refer to in S3: functions' zips and definitions, each under its content's digest."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from botocore.exceptions import ClientError

# The earliest time that a zip can hold: what a package is called by is its digest, not when it was made.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Asset:
    """A file that a template refers to.

    Attributes:
        parameter: the template's parameter that takes its key.
        name: the file's name.
    """

    parameter: str
    name: str
    content: bytes

    def key(self, prefix: str) -> str:
        """`<prefix>/workflows/<digest>/<name>`: another content is another key, which a template sees."""
        return f"{prefix}/workflows/{hashlib.sha256(self.content).hexdigest()}/{self.name}"


def function_zip(folder: str, uses: tuple[str, ...] = ()) -> bytes:
    """The zip of `lambdas/<folder>`: its `handler.py`, and those of the functions that it `uses`.

    Byte-identical on any machine. Stored and not deflated: compressors differ in their output from version to
    version, and a handler is smaller than the limits by orders of magnitude.
    """
    names = [f"lambdas/{used}/{name}" for used in uses for name in ("__init__.py", "handler.py")]
    entries = {"handler.py": _source(f"{folder}/handler.py")}
    entries |= {name: _source(name.removeprefix("lambdas/")) for name in names}
    if uses:
        entries["lambdas/__init__.py"] = b""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        for name, source in entries.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, on whatever system it is made; Lambda honours the mode
            entry.external_attr = 0o644 << 16
            package.writestr(entry, source)
    return archive.getvalue()


def _source(path: str) -> bytes:
    return files("lambdas").joinpath(path).read_bytes()


def text(name: str) -> str:
    """A template or a definition of this package."""
    return files("workflows").joinpath(name).read_text(encoding="utf-8")


def machines() -> tuple[str, ...]:
    """The names of the state machines that are defined in this package."""
    names = (file.name for file in files("workflows").iterdir())
    return tuple(sorted(name.removesuffix(".asl.json") for name in names if name.endswith(".asl.json")))


def upload(s3: Any, bucket: str, prefix: str, asset: Asset) -> bool:
    """Puts the file there unless it is; says whether it was not."""
    key = asset.key(prefix)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
            raise
    else:
        return False
    s3.put_object(Bucket=bucket, Key=key, Body=asset.content)
    return True
