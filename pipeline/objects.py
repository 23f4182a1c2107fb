"""Small S3 objects by their URIs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

MISSING = ("NoSuchKey", "NoSuchBucket")


class MissingObjectError(Exception):
    """An object that is not there."""


class DeletionError(Exception):
    """An object that cannot be deleted."""


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


def read_file_or_object(s3: Any, source: str) -> bytes:
    """A file's bytes, or those of an `s3://` URI.

    Raises:
        MissingObjectError: no such object.
        OSError: no such file.
    """
    if not source.startswith("s3://"):
        return Path(source).read_bytes()
    content = read_if_there(s3, source)
    if content is None:
        raise MissingObjectError(f"{source}: there is no such object")
    return content


def tag(s3: Any, bucket: str, key: str) -> str | None:
    """The value of a bucket's tag; None without it."""
    try:
        tags = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise
        return None
    return next((item["Value"] for item in tags if item["Key"] == key), None)


def empty(s3: Any, bucket: str, prefix: str = "") -> int:
    """Deletes every version of every object below the prefix, and unfinished uploads; returns how many.

    Raises:
        DeletionError: S3 kept some of them.
    """
    count = 0
    # From the front each time: a page's marker names what is deleted by then, and moto does not go on there.
    while found := _versions(s3, bucket, prefix):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
        if answer.get("Errors"):
            first = answer["Errors"][0]
            raise DeletionError(f"s3://{bucket}/{first['Key']} stays: {first.get('Message', first['Code'])}")
        count += len(found)
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return count


def _versions(s3: Any, bucket: str, prefix: str) -> list[dict[str, str]]:
    """The first 1,000 versions and delete markers below the prefix, as DeleteObjects takes them."""
    page = s3.list_object_versions(Bucket=bucket, Prefix=prefix)
    return [
        {"Key": item["Key"], "VersionId": item["VersionId"]}
        for item in page.get("Versions", []) + page.get("DeleteMarkers", [])
    ]
