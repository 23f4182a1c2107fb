"""What is on a worker's disk: the function's unpacked zip, and the packages that Lambda's runtime brings.

Workers see the standard library, boto3 with what it needs, and AWS's runtime interface client, and nothing
else of the environment that the server runs in: a handler that imports numpy without shipping it fails here
as it would on AWS.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from localaws.functions.errors import InvalidZipFileError

MAX_UNPACKED_BYTES = 262_144_000  # Lambda's own limit on a function with its layers
RUNTIME_DISTRIBUTIONS = ("boto3", "awslambdaric")


def unpack(code: bytes, folder: Path) -> Path:
    """The code's own folder below `folder`, named by the zip's sha256; unpacked there if it is not yet."""
    target = folder / hashlib.sha256(code).hexdigest()
    if target.is_dir():
        return target
    staging = Path(tempfile.mkdtemp(prefix="unpacking-", dir=folder))
    try:
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise InvalidZipFileError(
                    f"The deployment package unpacks to over {MAX_UNPACKED_BYTES:,} bytes."
                )
            archive.extractall(staging)
    except zipfile.BadZipFile as error:
        shutil.rmtree(staging)
        raise InvalidZipFileError(f"The deployment package cannot be unpacked: {error}.") from error
    except BaseException:
        shutil.rmtree(staging)
        raise
    staging.chmod(0o755)
    return _moved(staging, target)


def runtime_packages(folder: Path) -> Path:
    """A folder of links to the installed packages that a worker may import."""
    distributions = _closure(RUNTIME_DISTRIBUTIONS)
    entries = {
        path.parts[0]: Path(str(distribution.locate_file(path.parts[0])))
        for distribution in distributions
        for path in distribution.files or ()
        if path.parts[0] not in ("..", "__pycache__")
    }
    # Named by what it holds: an upgrade, or another virtual environment, gets a folder of its own.
    digest = hashlib.sha256("\n".join(sorted(map(str, entries.values()))).encode()).hexdigest()
    target = folder / digest[:16]
    if target.is_dir():
        return target
    staging = Path(tempfile.mkdtemp(prefix="linking-", dir=folder))
    for name, path in entries.items():
        (staging / name).symlink_to(path)
    return _moved(staging, target)


def remove_leftovers(folder: Path) -> None:
    """Removes what an earlier process was still unpacking or linking when it was killed."""
    for path in (*folder.glob("unpacking-*"), *folder.glob("linking-*")):
        shutil.rmtree(path)


def _moved(staging: Path, target: Path) -> Path:
    try:
        staging.replace(target)
    except OSError:  # somebody else was faster: a folder that is not empty cannot be replaced
        if not target.is_dir():
            raise
        shutil.rmtree(staging)
    return target


def _closure(names: tuple[str, ...]) -> list[importlib.metadata.Distribution]:
    found: dict[str, importlib.metadata.Distribution] = {}
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        for requirement in found[name].requires or ():
            if "extra ==" not in requirement and (match := re.match(r"[A-Za-z0-9._-]+", requirement)):
                pending.append(match[0].lower())
    return list(found.values())
