"""What an execution takes for data."""

import gzip
import hashlib
import io
import tarfile

import pytest

from pipeline import archives
from pipeline.archives import Archive, ArchiveError


class Bucket:
    def __init__(self):
        self.objects = {}

    def upload_file(self, path, bucket, key, Callback):  # noqa: N803 - boto3 calls it so
        with open(path, "rb") as file:
            self.objects[bucket, key] = file.read()
        Callback(len(self.objects[bucket, key]))


@pytest.mark.parametrize("data", ["cifar100", "https://example.org/a.tar.gz", "s3://bucket/a.tar.gz"])
def test_the_job_fetches_what_is_remote(settings, tmp_path, data):
    assert archives.provide(Bucket(), settings, data, tmp_path) == Archive("remote", data)


def test_file_goes_to_s3_under_its_digest(settings, tmp_path, capsys):
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
    assert ".tar.gz 0.0 of 0.0 MB" in capsys.readouterr().err


def names(content: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
        return archive.getnames()


def photographs(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archives.IMAGE_STARTS[0] + name.encode())
    return folder


VEHICLES = ("bicycle/2.jpg", "bicycle/1.PNG", "Motorcycle/ü 1.jpeg")


def test_a_folder_goes_to_s3_packed_the_same_each_time(settings, tmp_path):
    beside = ("boat/1.jpg", "bicycle/._1.jpg", "bicycle/notes.txt", "loose.jpg", "a/b/c/bicycle/1.jpg")
    folder = photographs(tmp_path / "photos", *VEHICLES, *beside)
    (folder / "bicycle" / "link.png").symlink_to("/etc/passwd")
    bucket = Bucket()
    first = archives.provide(bucket, settings, str(folder), tmp_path)
    (folder / "bicycle" / "1.PNG").touch()
    assert archives.provide(bucket, settings, str(folder), tmp_path) == first
    (content,) = bucket.objects.values()
    assert first.kind == "folder"
    assert names(content) == sorted(VEHICLES)


def test_a_folder_may_have_its_splits(settings, tmp_path):
    members = [f"{split}/{name}" for split in ("train", "validation") for name in VEHICLES]
    bucket = Bucket()
    archives.provide(bucket, settings, str(photographs(tmp_path / "photos", *members)), tmp_path)
    assert names(*bucket.objects.values()) == sorted(members)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (["bicycle/1.jpg", "boat/1.jpg"], "no folder of images named motorcycle; there are bicycle, boat$"),
        (["bicycle/1.txt"], "named bicycle; there are none with .png, .jpg or .jpeg files$"),
    ],
)
def test_a_folder_without_a_class_is_told_before_it_is_packed(settings, tmp_path, members, says):
    folder = photographs(tmp_path / "photos", *members)
    with pytest.raises(ArchiveError, match=says):
        archives.provide(Bucket(), settings, str(folder), tmp_path)


def test_a_text_by_an_images_name_is_told_before_it_is_sent(settings, tmp_path):
    folder = photographs(tmp_path / "photos", *VEHICLES)
    (folder / "bicycle" / "2.jpg").write_text("<!DOCTYPE html>")
    bucket = Bucket()
    with pytest.raises(ArchiveError, match=r"photos/bicycle/2\.jpg is no PNG or JPEG image"):
        archives.provide(bucket, settings, str(folder), tmp_path)
    assert bucket.objects == {}


def test_a_folder_of_too_much_is_told_before_it_is_packed(settings, tmp_path):
    folder = photographs(tmp_path / "photos", *VEHICLES)
    with (folder / "bicycle" / "2.jpg").open("wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(ArchiveError, match=r"holds 5\.0 GiB of images, and 4 GiB at most are read"):
        archives.provide(Bucket(), settings, str(folder), tmp_path)


def test_slip_is_told(settings, tmp_path):
    with pytest.raises(ArchiveError, match="nowhere is no file; data is synthetic"):
        archives.provide(Bucket(), settings, "nowhere", tmp_path)
