"""PrepareData reads archives from the local AWS's S3, through boto3 and real HTTP."""

import hashlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from processing.synthetic import write_archive

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "cifar-100-python.tar.gz"
    write_archive(path, seed=0, train_per_class=12, test_per_class=4)
    return path


@pytest.fixture(scope="module")
def bucket(client) -> str:
    name = f"prepare-{uuid.uuid4().hex[:8]}"
    client("s3").create_bucket(Bucket=name)
    return name


def prepare(source, output, *more):
    command = [sys.executable, "-m", "processing.prepare", "--source", source, "--output-dir", output]
    return subprocess.run(
        [*command, "--classes", "bicycle,motorcycle", *more],
        cwd=ROOT,
        env=os.environ | {"SCONES_CACHE_DIR": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_from_an_object(client, bucket, archive, tmp_path):
    client("s3").upload_file(str(archive), bucket, "archives/some key.tar.gz")
    uri = f"s3://{bucket}/archives/some key.tar.gz"
    completed = prepare(uri, tmp_path / "out")
    assert completed.returncode == 0, completed.stderr
    statistics = json.loads((tmp_path / "out" / "statistics" / "statistics.json").read_text())
    assert statistics["source"]["uri"] == uri
    assert statistics["source"]["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert statistics["splits"]["train"]["per_class"] == {"bicycle": 12, "motorcycle": 12}


def test_kept_and_used_again_until_it_changes(client, bucket, archive, tmp_path):
    s3, key = client("s3"), "archives/changing.tar.gz"
    s3.upload_file(str(archive), bucket, key)
    options = ("--cache-dir", tmp_path / "cache")
    for _ in range(2):
        completed = prepare(f"s3://{bucket}/{key}", tmp_path / "out", *options)
        assert completed.returncode == 0, completed.stderr
    assert "reading the kept changing.tar.gz" in completed.stderr
    write_archive(tmp_path / "other.tar.gz", seed=1, train_per_class=3, test_per_class=2)
    s3.upload_file(str(tmp_path / "other.tar.gz"), bucket, key)
    completed = prepare(f"s3://{bucket}/{key}", tmp_path / "out", *options)
    assert "train: 6 images" in completed.stdout


def test_the_object_is_read_on_from_where_it_was_cut(client, bucket, archive, local_aws):
    """The second transfer asks for the rest, of the same version."""
    from processing.s3_source import S3Source

    client("s3").upload_file(str(archive), bucket, "cut.tar.gz")
    source = S3Source(f"s3://{bucket}/cut.tar.gz", bucket, "cut.tar.gz")
    first = source.open()
    begin = first.stream.read(10_000)
    first.stream.close()
    rest = source.open(start=10_000, version=first.version)
    assert rest.size == first.size == archive.stat().st_size
    assert begin + rest.stream.read(1 << 30) == archive.read_bytes()


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://{bucket}/nothing.tar.gz", "NoSuchKey"),
        ("s3://no-such-bucket-{bucket}/a.tar.gz", "NoSuchBucket"),
    ],
)
def test_what_is_not_there_is_one_sentence(bucket, tmp_path, uri, said):
    completed = prepare(uri.format(bucket=bucket), tmp_path / "out")
    assert completed.returncode == 1
    assert len(completed.stderr.splitlines()) == 1
    assert completed.stderr.startswith("error: s3://")
    assert said in completed.stderr
    assert not (tmp_path / "out").exists()
