"""What SageMaker does with objects on S3: is it there, fetch it, and unpack a `model.tar.gz` safely."""

from __future__ import annotations

import tarfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from localaws.sagemaker.errors import ValidationError
from localaws.stack import Stack


class S3Uri(NamedTuple):
    """`s3://bucket/key`."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> S3Uri:
        """Raises ValidationError for anything but an s3:// URI with a bucket."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not bucket:
            raise ValidationError(f"{uri!r} is no S3 URI: expected s3://bucket/key.")
        return cls(bucket, key)


class ArtifactError(Exception):
    """A model's archive that cannot be fetched or must not be unpacked."""


@lru_cache(maxsize=8)
def client(stack: Stack, service: str) -> Any:
    """The one client of this service that the stack's hosting side shares: clients are slow to make."""
    return stack.client(service)


def object_exists(stack: Stack, uri: str) -> bool:
    bucket, key = S3Uri.parse(uri)
    try:
        client(stack, "s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):
            return False
        raise
    return True


def require_model_data(stack: Stack, uri: str) -> None:
    """Refuses model data that is not there, in SageMaker's words."""
    if not object_exists(stack, uri):
        raise ValidationError(f"Could not find model data at {uri}.")


def fetch_model(stack: Stack, uri: str, folder: Path) -> None:
    """Fetches a `model.tar.gz` and unpacks it into `folder`, which is made. Raises ArtifactError."""
    bucket, key = S3Uri.parse(uri)
    try:
        body = client(stack, "s3").get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
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
        with tarfile.open(fileobj=archive, mode="r|gz") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArtifactError(f"{source} is not a model.tar.gz that can be unpacked: {error}") from error
