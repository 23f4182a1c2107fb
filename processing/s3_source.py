"""An archive on S3; boto3 is loaded when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from processing.sources import (
    RETRIED_STATUSES,
    TIMEOUT_SECONDS,
    ReplacedError,
    SourceError,
    Transfer,
    TransferError,
    UnchangedError,
)


@dataclass(frozen=True)
class S3Source:
    """An object on S3, or on whatever `AWS_ENDPOINT_URL` names."""

    uri: str
    bucket: str
    key: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    def open(self, start: int = 0, version: str | None = None, unless: str | None = None) -> Transfer:
        from botocore.exceptions import BotoCoreError, ClientError

        request: dict[str, Any] = {"Bucket": self.bucket, "Key": self.key}
        if start:
            request["Range"] = f"bytes={start}-"
        if version:
            request["IfMatch"] = version
        if unless:
            request["IfNoneMatch"] = unless
        try:
            answer = _s3_client().get_object(**request)
        except ClientError as error:
            raise _s3_error(self.uri, error) from None
        except BotoCoreError as error:
            raise SourceError(f"{self.uri} cannot be read: {error}") from None
        size = start + answer["ContentLength"]
        return Transfer(_S3Stream(self.uri, answer["Body"]), start, size, answer.get("ETag"))


class _S3Stream:
    def __init__(self, uri: str, body: Any) -> None:
        self._uri = uri
        self._body = body

    def read(self, size: int, /) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        try:
            return self._body.read(size)
        except (BotoCoreError, HTTPError, OSError) as error:
            raise TransferError(f"{self._uri}: {type(error).__name__}: {error}") from None

    def close(self) -> None:
        self._body.close()


def _s3_client() -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise SourceError("an s3:// source needs boto3, which is not installed here") from None
    config = Config(
        connect_timeout=TIMEOUT_SECONDS,
        read_timeout=TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 5},
    )
    return boto3.client("s3", config=config)


def _s3_error(uri: str, error: Any) -> Exception:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    details = error.response.get("Error", {})
    if status == 304:
        return UnchangedError()
    if status in RETRIED_STATUSES:
        return TransferError(f"{uri} answered {status} {details.get('Code')}")
    if status in (412, 416):  # another version, or one that ends before what was asked for
        return ReplacedError(uri)
    return SourceError(f"{uri} cannot be read: {details.get('Code')}: {details.get('Message')}")
