"""S3 data as a job sees it: what a data source names, which host gets what, and under which file name.

Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from localaws.sagemaker.transfers import Location, TransferError, Transfers, parse_uri


class NoDataError(Exception):
    """The data source names nothing."""


@dataclass(frozen=True)
class Source:
    """Where a channel's or an input's data come from.

    Attributes:
        data_type: `S3Prefix` or `ManifestFile`.
        sharded: each host gets its share of the objects (ShardedByS3Key), instead of all.
    """

    uri: str
    data_type: str = "S3Prefix"
    sharded: bool = False


def fetch(transfers: Transfers, source: Source, folders: list[Path]) -> int:
    """Brings the data into one folder a host; answers the number of objects that were named.

    Raises NoDataError, TransferError.
    """
    places = list_objects(transfers, source)
    if not places:
        raise NoDataError(
            f'No S3 objects found under S3 URL "{source.uri}" given in input data source. Please ensure that '
            "the bucket exists in the selected region and that objects exist under that S3 prefix."
        )
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    if source.sharded:
        for index, folder in enumerate(folders):
            _download(transfers, places[index :: len(folders)], folder)
    else:
        _download(transfers, places, folders[0])
        for folder in folders[1:]:
            shutil.copytree(folders[0], folder, dirs_exist_ok=True)
    return len(places)


def list_objects(transfers: Transfers, source: Source) -> list[tuple[Location, str]]:
    """The objects of a source, each with its file name relative to the channel's folder."""
    location = parse_uri(source.uri)
    if source.data_type == "ManifestFile":
        return _manifest(transfers, location)
    keys = transfers.keys(location)
    return [(Location(location.bucket, key), file_name(key, location.key)) for key in keys]


def file_name(key: str, prefix: str) -> str:
    """`a/train/x/1.png` under the prefix `a/train` or `a/train/` is `x/1.png`; under `a/tr`, `train/x/1.png`.

    An object that the prefix names whole keeps its last part. Raises TransferError for a key that would
    lead out of the folder.
    """
    if key == prefix:
        name = key.rpartition("/")[2]
    elif prefix.endswith("/") or not prefix or key[len(prefix)] == "/":
        name = key[len(prefix) :].lstrip("/")
    else:
        name = key[prefix.rfind("/") + 1 :]
    if ".." in PurePosixPath(name).parts:
        raise TransferError(f"The key {key!r} leads out of the channel's folder.")
    return name


def _manifest(transfers: Transfers, location: Location) -> list[tuple[Location, str]]:
    """`[{"prefix": "s3://bucket/folder/"}, "relative/key", …]`."""
    try:
        head, *names = json.loads(transfers.read(location))
        prefix = parse_uri(head["prefix"])
        return [
            (Location(prefix.bucket, prefix.key + name), file_name(prefix.key + name, prefix.key))
            for name in names
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise TransferError(f'{location} is not a manifest: a list of {{"prefix": …}} and keys.') from error


def _download(transfers: Transfers, places: list[tuple[Location, str]], folder: Path) -> None:
    if places:
        transfers.download(places[0][0].bucket, [(place.key, folder / name) for place, name in places])
