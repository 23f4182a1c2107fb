"""Small S3 objects by their URIs."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

MISSING = ("NoSuchKey", "NoSuchBucket")


def split(uri: str) -> tuple[str, str]:
    """`s3://bucket/a/b` is `("bucket", "a/b")`."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def read(s3: Any, uri: str) -> bytes:
    bucket, key = split(uri)
    return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def read_if_there(s3: Any, uri: str) -> bytes | None:
    """None for an object that is not there."""
    try:
        return read(s3, uri)
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            return None
        raise
