"""Many S3 objects to a folder and back, over HTTP, several at a time, streamed to and from disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from localaws.sagemaker.signed_http import S3HttpError, SignedHttp

T = TypeVar("T")
WORKERS = 4  # enough to keep the server busy
_CHUNK = 1 << 20
_ONE_REQUEST = 8 << 20  # files up to this size go in one PutObject, larger ones in parts


class TransferError(Exception):
    """S3 said no, or had nothing; the message says what to look at."""


@dataclass(frozen=True)
class Location:
    """An S3 URI in its parts."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def join(self, *names: str) -> Location:
        """Something below this prefix."""
        return Location(self.bucket, "/".join(part for part in (self.key.rstrip("/"), *names) if part))


def parse_uri(uri: str) -> Location:
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise TransferError(f"{uri!r} is not an S3 URI (s3://bucket/key).")
    return Location(bucket, key)


class Transfers:
    """Moves objects: lists and large ones with a boto3 S3 client, the many small ones with `http`.

    `check` is called before each object and may raise, which ends the transfer.
    """

    def __init__(self, client: Any, http: SignedHttp, check: Callable[[], None] = lambda: None) -> None:
        self._client = client
        self._http = http
        self._check = check

    def keys(self, prefix: Location) -> list[str]:
        """All keys that begin with the prefix, sorted, without the empty objects that stand for folders."""
        pages = self._client.get_paginator("list_objects_v2")
        try:
            found = [
                item["Key"]
                for page in pages.paginate(Bucket=prefix.bucket, Prefix=prefix.key)
                for item in page.get("Contents", [])
            ]
        except (ClientError, BotoCoreError) as error:
            raise TransferError(f"Listing {prefix} failed: {error}") from error
        return sorted(key for key in found if not key.endswith("/"))

    def read(self, location: Location) -> bytes:
        """A small object, whole."""
        try:
            return self._client.get_object(Bucket=location.bucket, Key=location.key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise TransferError(f"Reading {location} failed: {error}") from error

    def write(self, target: Location, content: bytes) -> None:
        """A small object, whole."""
        try:
            self._http.put(target.bucket, target.key, content)
        except S3HttpError as error:
            raise TransferError(f"Writing {target} failed: {error}") from error

    def stream(self, location: Location) -> Iterator[bytes]:
        """An object's bytes in pieces."""
        try:
            body = self._client.get_object(Bucket=location.bucket, Key=location.key)["Body"]
            yield from body.iter_chunks(_CHUNK)
        except (ClientError, BotoCoreError) as error:
            raise TransferError(f"Reading {location} failed: {error}") from error

    def download(self, bucket: str, places: Iterable[tuple[str, Path]]) -> None:
        """Fetches each key into its file; the folders are made."""
        work = list(places)
        for folder in {path.parent for _, path in work}:
            folder.mkdir(parents=True, exist_ok=True)
        self._each(lambda place: self._fetch(bucket, *place), work)

    def upload(self, files: Iterable[tuple[Path, Location]]) -> None:
        self._each(lambda pair: self._send(*pair), list(files))

    def upload_folder(self, folder: Path, target: Location) -> None:
        """Every file below the folder, under the target with its path relative to the folder."""
        self.upload((path, target.join(path.relative_to(folder).as_posix())) for path in files_below(folder))

    def _fetch(self, bucket: str, key: str, path: Path) -> None:
        try:
            self._http.get(bucket, key, path)
        except S3HttpError as error:
            raise TransferError(f"Fetching s3://{bucket}/{key} failed: {error}") from error

    def _send(self, path: Path, target: Location) -> None:
        try:
            if path.stat().st_size <= _ONE_REQUEST:
                self._http.put(target.bucket, target.key, path.read_bytes())
            else:
                self._client.upload_file(str(path), target.bucket, target.key)
        except (ClientError, BotoCoreError, S3UploadFailedError, S3HttpError) as error:
            raise TransferError(f"Uploading to {target} failed: {error}") from error

    def _each(self, action: Callable[[T], None], items: list[T]) -> None:
        def checked(item: T) -> None:
            self._check()
            action(item)

        with ThreadPoolExecutor(min(WORKERS, len(items)) or 1, thread_name_prefix="transfer") as pool:
            futures = [pool.submit(checked, item) for item in items]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def files_below(folder: Path) -> Iterator[Path]:
    """Regular files, in order of their paths; links to files count, links to folders are not followed."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file():
                yield path
