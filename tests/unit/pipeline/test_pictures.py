"""Pictures of a package over stubbed clients."""

import io
import tarfile

import pytest
from botocore.response import StreamingBody

from pipeline import pictures
from pipeline.registry import NoPackageError, PackageDetails

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/scones"


def details(now, evaluation_uri="s3://bucket/e/evaluation.json"):
    return PackageDetails(
        *(f"{ARN}/1", 1, "Approved", now, None, {}, "s3://bucket/job/output/model.tar.gz", evaluation_uri),
        *(None, None, None, None, None),
    )


def expect_object(clients, key, content):
    request = {"Bucket": "bucket", "Key": key}
    if content is None:
        clients.refuse("s3", "get_object", "NoSuchKey")
    else:
        body = StreamingBody(io.BytesIO(content), len(content))
        clients.expect("s3", "get_object", {"Body": body}, request)


def output(**files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}.png")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mistakes", "trained", "expected"),
    [
        (b"m", output(learning_curves=b"l"), {"worst_mistakes.png": b"m", "learning_curves.png": b"l"}),
        (None, output(learning_curves=b"l"), {"learning_curves.png": b"l"}),
        (b"m", output(other=b"o"), {"worst_mistakes.png": b"m"}),
        (b"m", None, {"worst_mistakes.png": b"m"}),
        (b"m", b"no archive", {"worst_mistakes.png": b"m"}),
        (b"m", output(learning_curves=bytes(5000))[:40], {"worst_mistakes.png": b"m"}),
    ],
    ids=["both", "no evaluation", "no curves", "no output", "no archive", "cut"],  # not gzip's own time
)
def test_pictures_that_are_there(clients, now, mistakes, trained, expected):
    expect_object(clients, "e/worst_mistakes.png", mistakes)
    expect_object(clients, "e/confusion_matrix.png", None)
    expect_object(clients, "e/calibration.png", None)
    expect_object(clients, "job/output/output.tar.gz", trained)
    assert pictures.of_package(clients, details(now)) == expected


def test_no_picture_is_told(clients, now):
    expect_object(clients, "job/output/output.tar.gz", None)
    with pytest.raises(NoPackageError, match="neither the evaluation nor the training job"):
        pictures.of_package(clients, details(now, evaluation_uri=None))
