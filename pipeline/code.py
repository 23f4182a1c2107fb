"""The jobs' code as S3 objects whose names come from their content.

The names are known without a network, so a definition can be built anywhere; and code that did not change
keeps its name, so step caches stay valid.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from pipeline.settings import Settings

SHIPPED = ("*.py", "requirements.txt")


class CodeError(Exception):
    """A folder of job code that is not there or holds nothing to ship."""


@dataclass(frozen=True)
class Code:
    """One folder of job code.

    Attributes:
        name: `processing` or `training`.
        files: path in the folder → content, in the order of the paths.
        archive: travels as one `sourcedir.tar.gz` instead of as its files.
    """

    name: str
    files: Mapping[str, bytes]
    archive: bool = False

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of the SHA-256 over names and contents.

        Over the files and not over the archive: compressors differ from machine to machine.
        """
        digest = hashlib.sha256()
        for path, content in self.files.items():
            digest.update(f"{path}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()[:16]

    def uri(self, settings: Settings) -> str:
        """Of the archive, or of the folder (with a slash at its end: an S3 prefix is a prefix of text)."""
        folder = settings.s3_uri("code", self.name, self.digest)
        return f"{folder}/sourcedir.tar.gz" if self.archive else f"{folder}/"

    def objects(self) -> dict[str, bytes]:
        """What to upload: key below the folder → bytes."""
        return {"sourcedir.tar.gz": tar_gz(self.files)} if self.archive else dict(self.files)

    def upload(self, s3: Any, settings: Settings) -> list[str]:
        """Puts the objects that the bucket lacks and returns their URIs; none when nothing changed."""
        uploaded = []
        for path, content in self.objects().items():
            key = f"{settings.prefix}/code/{self.name}/{self.digest}/{path}"
            if not _exists(s3, settings.bucket, key):
                s3.put_object(Bucket=settings.bucket, Key=key, Body=content)
                uploaded.append(f"s3://{settings.bucket}/{key}")
        return uploaded


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz that depends on names and contents alone: no owner, no times, one mode."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def read_code(folder: Path, name: str, archive: bool = False) -> Code:
    """The folder's Python files and requirements, hidden folders and bytecode left out.

    Raises:
        CodeError: nothing to ship there.
    """
    paths = {path for pattern in SHIPPED for path in folder.rglob(pattern) if path.is_file()}
    relative = sorted(path.relative_to(folder) for path in paths)
    shipped = [
        path for path in relative if not any(part.startswith((".", "__pycache__")) for part in path.parts)
    ]
    if not shipped:
        raise CodeError(f"{folder} holds no Python files, so there is no {name} code to ship")
    return Code(name, {path.as_posix(): (folder / path).read_bytes() for path in shipped}, archive)


def package_folder(name: str) -> Path:
    """Where a package's sources are, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise CodeError(f"the package {name} is not installed: run `make install` in the repository")
    return Path(next(iter(spec.submodule_search_locations)))


def processing_code() -> Code:
    return read_code(package_folder("processing"), "processing")


def training_code() -> Code:
    return read_code(package_folder("training"), "training", archive=True)


def _exists(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True
