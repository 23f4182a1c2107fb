"""What the jobs behind a model package drew of the model."""

from __future__ import annotations

import io
import tarfile
import zlib
from typing import TYPE_CHECKING

from pipeline import objects
from pipeline.registry import NoPackageError, PackageDetails

if TYPE_CHECKING:
    from pipeline.clients import Clients

OF_EVALUATION = ("worst_mistakes.png", "confusion_matrix.png", "calibration.png")
CURVES = "learning_curves.png"
ALL = (*OF_EVALUATION, CURVES)


def of_package(clients: Clients, package: PackageDetails) -> dict[str, bytes]:
    """PNG by file name, without what is gone.

    Raises:
        NoPackageError: nothing of it is there.
    """
    s3 = clients("s3")
    found = {}
    if package.evaluation_uri:
        folder = package.evaluation_uri.rpartition("/")[0]
        found = {name: objects.read_if_there(s3, f"{folder}/{name}") for name in OF_EVALUATION}
    # SageMaker writes a training job's other output beside its model.tar.gz.
    output = objects.read_if_there(s3, package.model_data.rpartition("/")[0] + "/output.tar.gz")
    found[CURVES] = _member(output, CURVES) if output else None
    there = {name: content for name, content in found.items() if content}
    if not there:
        raise NoPackageError(f"neither the evaluation nor the training job of {package.arn} left a picture")
    return there


def _member(archive: bytes, name: str) -> bytes | None:
    """A file of a tar.gz; None where it is not in it, or the archive is damaged."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for member in tar:
                if member.name.removeprefix("./") == name and (file := tar.extractfile(member)):
                    return file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        return None
    return None
