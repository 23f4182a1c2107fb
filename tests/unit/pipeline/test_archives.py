"""What an execution takes for data."""

import hashlib

import pytest

from pipeline import archives
from pipeline.archives import Archive, ArchiveError


class Bucket:
    def __init__(self):
        self.objects = {}

    def upload_file(self, path, bucket, key):
        with open(path, "rb") as file:
            self.objects[bucket, key] = file.read()


@pytest.mark.parametrize("data", ["cifar100", "https://example.org/a.tar.gz", "s3://bucket/a.tar.gz"])
def test_the_job_fetches_what_is_remote(settings, tmp_path, data):
    assert archives.provide(Bucket(), settings, data, tmp_path) == Archive("remote", data)


def test_file_goes_to_s3_under_its_digest(settings, tmp_path):
    path = tmp_path / ("my archive (1) " + "x" * 200 + ".tar.gz")
    path.write_bytes(b"content")
    bucket = Bucket()
    archive = archives.provide(bucket, settings, str(path), tmp_path)
    ((place, content),) = bucket.objects.items()
    assert archive == Archive("file", f"s3://{place[0]}/{place[1]}")
    assert f"/archives/{hashlib.sha256(b'content').hexdigest()}/" in archive.source
    assert content == b"content"
    assert archive.source.endswith(".tar.gz")
    assert " " not in archive.source
    assert len(archive.source) <= 256


def test_slip_is_told(settings, tmp_path):
    with pytest.raises(ArchiveError, match="nowhere is no file; data is synthetic"):
        archives.provide(Bucket(), settings, "nowhere", tmp_path)
