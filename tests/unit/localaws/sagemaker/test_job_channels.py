import pytest
from hypothesis import given
from hypothesis import strategies as st

from localaws.sagemaker.channels import file_name
from localaws.sagemaker.transfers import Location, TransferError, parse_uri


@pytest.mark.parametrize(
    ("key", "prefix", "name"),
    [
        ("a/train/x/1.png", "a/train", "x/1.png"),
        ("a/train/x/1.png", "a/train/", "x/1.png"),
        ("a/train/1.png", "a/tr", "train/1.png"),
        ("a/train/1.png", "", "a/train/1.png"),
        ("a/model.tar.gz", "a/model.tar.gz", "model.tar.gz"),
        ("a//b", "a", "b"),
    ],
)
def test_file_names_are_relative_to_the_prefix(key, prefix, name):
    assert file_name(key, prefix) == name


@pytest.mark.parametrize("key", ["a/../../etc/passwd", "a/x/.."])
def test_a_key_cannot_lead_out_of_the_folder(key):
    with pytest.raises(TransferError, match="leads out of"):
        file_name(key, "a/")


@given(st.text("ab./", min_size=1), st.integers(0, 12))
def test_any_key_stays_below_the_folder(key, length):
    try:
        name = file_name(key, key[:length])
    except TransferError:
        return
    assert not name.startswith("/")
    assert ".." not in name.split("/")


def test_locations():
    location = parse_uri("s3://bucket/some/prefix/")
    assert location == Location("bucket", "some/prefix/")
    assert str(location.join("x", "y")) == "s3://bucket/some/prefix/x/y"
    assert str(parse_uri("s3://bucket").join("x")) == "s3://bucket/x"


@pytest.mark.parametrize("uri", ["bucket/key", "https://bucket/key", "s3://", ""])
def test_what_is_no_s3_uri(uri):
    with pytest.raises(TransferError, match="is not an S3 URI"):
        parse_uri(uri)
