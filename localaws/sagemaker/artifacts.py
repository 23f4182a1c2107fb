"""What SageMaker does with objects on S3: is it there, fetch it, and unpack a `model.tar.gz` safely."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.transfers import TransferError, parse_uri
from localaws.stack import Stack


class ArtifactError(Exception):
    """A model's archive that cannot be fetched or must not be unpacked."""


def object_exists(stack: Stack, uri: str) -> bool:
    """Raises ValidationError when that is no S3 URI."""
    try:
        location = parse_uri(uri)
        stack.client("s3").head_object(Bucket=location.bucket, Key=location.key)
    except TransferError as error:
        raise ValidationError(str(error)) from error
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):
            return False
        raise
    return True


def require_model_data(stack: Stack, uri: str) -> None:
    """Refuses model data that is not there, in SageMaker's words."""
    if not object_exists(stack, uri):
        raise ValidationError(f"Could not find model data at {uri}.")


def fetch_model(stack: Stack, uri: str, folder: Path, role: str | None) -> None:
    """Fetches a `model.tar.gz` under the role and unpacks it into `folder`, which is made.

    Raises ArtifactError.
    """
    try:
        location = parse_uri(uri)
        body = stack.client("s3", role).get_object(Bucket=location.bucket, Key=location.key)["Body"]
    except (TransferError, ClientError, BotoCoreError) as error:
        raise ArtifactError(f"Failed to download model data from {uri}: {error}") from error
    with body:
        unpack(body, folder, source=uri)


def unpack(archive: Any, folder: Path, *, source: str) -> None:
    """Unpacks a gzipped tar from a readable stream.

    Members that would leave the folder, links that point out of it, and devices are refused (PEP 706's
    "data" filter). Raises ArtifactError, with the offending member named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # By the gzip module, and to the end: tarfile's own streams do not look at the checksum.
        with gzip.GzipFile(fileobj=archive) as content:
            with tarfile.open(fileobj=content, mode="r|") as tar:
                tar.extractall(folder, filter="data")
            while content.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ArtifactError(f"{source} is not a model.tar.gz that can be unpacked: {error}") from error
