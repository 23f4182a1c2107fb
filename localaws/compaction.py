"""Which journal entries no longer matter: uploads that were overwritten or deleted since.

Only S3 is compacted, since objects are what a workflow rewrites, and only where it is certain that nothing
else depended on what is left out: not in buckets that keep versions or tell others of their changes, and no
object that was copied from or that another service read when one of its own resources was made.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote

import xmltodict  # type: ignore[import-untyped]

from localaws.journal import Heading, Journal

Key = tuple[str, str]

# Where one of these was ever asked for, an older write may still be seen, or has had its effect elsewhere.
_SPECIAL = {
    "PutBucketVersioning",
    "PutObjectLockConfiguration",
    "PutBucketNotificationConfiguration",
    "PutBucketNotification",
    "PutBucketReplication",
    "PutBucketLogging",
    "PostObject",
}
# Services whose resources are made from objects, which they then read.
_READERS = ("lambda", "states")


def superseded(journal: Journal) -> set[int]:
    """Numbers of the entries that a replay can do without."""
    headings = list(journal.headings())
    return _Walk(headings, journal).run()


class _Walk:
    """Goes through the journal once, and keeps for each key the entries that its present state rests on."""

    def __init__(self, headings: list[Heading], journal: Journal) -> None:
        self._headings = headings
        self._journal = journal
        s3 = [heading for heading in headings if heading.service == "s3"]
        created = {heading.labels.get("Bucket") for heading in s3 if heading.operation == "CreateBucket"}
        special = {heading.labels.get("Bucket") for heading in s3 if heading.operation in _SPECIAL}
        self._plain = created - special
        self._pinned = {_source(heading) for heading in s3 if "CopySource" in heading.labels}
        self._read = [journal.body(heading.number) for heading in headings if heading.service in _READERS]
        self._keys: defaultdict[Key, list[int]] = defaultdict(list)
        self._uploads: defaultdict[str, list[int]] = defaultdict(list)
        self._dropped: set[int] = set()

    def run(self) -> set[int]:
        for heading in self._headings:
            if heading.service == "s3" and heading.labels.get("Bucket") in self._plain:
                self._take(heading)
        return self._dropped

    def _take(self, heading: Heading) -> None:
        labels, number = heading.labels, heading.number
        key = (labels["Bucket"], labels.get("Key", ""))
        match heading.operation:
            case "PutObject" | "CopyObject":
                self._replace(key, [number])
            case "CompleteMultipartUpload":
                self._replace(key, [*self._uploads.pop(labels.get("UploadId", ""), []), number])
            case "CreateMultipartUpload" | "UploadPart" | "UploadPartCopy":
                self._uploads[labels.get("UploadId", "")].append(number)
            case "AbortMultipartUpload":
                self._dropped.update(self._uploads.pop(labels.get("UploadId", ""), []), [number])
            case "DeleteObject":
                self._delete([key], number)
            case "DeleteObjects":
                self._delete(_keys(labels["Bucket"], self._journal.body(number)), number)
            case _ if labels.get("Key"):
                self._keys[key].append(number)

    def _replace(self, key: Key, entries: list[int]) -> None:
        before = self._keys[key]
        if self._is_needed(key):
            self._keys[key] = [*before, *entries]
        else:
            self._dropped.update(before)
            self._keys[key] = entries

    def _delete(self, keys: Iterable[Key], number: int) -> None:
        needed: list[Key] = []
        gone: list[Key] = []
        for key in dict.fromkeys(keys):
            (needed if self._is_needed(key) else gone).append(key)
        for key in gone:  # also where the entry stays for others: it deletes what is not there then
            self._dropped.update(self._keys.pop(key, []))
        for key in needed:
            self._keys[key].append(number)
        if not needed:
            self._dropped.add(number)

    def _is_needed(self, key: Key) -> bool:
        if key in self._pinned:
            return True
        if not self._keys.get(key):
            return False
        return any(spelling in body for spelling in _spellings(key[1]) for body in self._read)


def _source(heading: Heading) -> Key:
    bucket, _, key = unquote(heading.labels["CopySource"]).lstrip("/").partition("/")
    return bucket, key.partition("?versionId=")[0]


def _keys(bucket: str, body: bytes) -> Iterator[Key]:
    objects = (xmltodict.parse(body)["Delete"].get("Object") or []) if body else []
    for item in objects if isinstance(objects, list) else [objects]:
        yield bucket, item["Key"]


def _spellings(key: str) -> set[bytes]:
    """A key as it may stand in the body of a JSON, form-encoded or XML request."""
    return {
        text.encode() for text in (key, json.dumps(key)[1:-1], quote(key), quote(key, ""), quote_plus(key))
    }
