"""S3 through the gateway, in the ways that the workflow and its tools use it."""

from __future__ import annotations

import http.client
import io
import os
import urllib.error
import urllib.request
import uuid

import botocore.exceptions
import pytest
import requests
from boto3.s3.transfer import TransferConfig

KEYS = ["plain", "a b/ü+%.txt", "a%2Fb", "a//b", "a/../b", "q?k=v", "h#h", "*()!'", "folder/", "%zz"]


@pytest.fixture(scope="module")
def s3(client):
    return client("s3")


@pytest.fixture(scope="module")
def bucket(s3):
    name = f"gateway-s3-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize("key", KEYS)
def test_any_key_by_client_and_by_presigned_url(s3, bucket, key):
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": key})
    # urllib says application/x-www-form-urlencoded of its own accord
    with urllib.request.urlopen(urllib.request.Request(put, data=b"a=1&b", method="PUT")) as response:
        assert response.status == 200
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"a=1&b"
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata={"my_key": "v", "other-key": "w"})
    get = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    with urllib.request.urlopen(get) as response:
        assert response.read() == key.encode()
    assert s3.head_object(Bucket=bucket, Key=key)["Metadata"] == {"my_key": "v", "other-key": "w"}
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]
    assert key in [item["Key"] for item in listed]


def test_virtual_host_addressing(local_aws, s3, bucket):
    s3.put_object(Bucket=bucket, Key="by-host", Body=b"x")
    connection = http.client.HTTPConnection("127.0.0.1", local_aws.port)
    connection.request("GET", "/by-host", headers={"Host": f"{bucket}.s3.us-east-1.amazonaws.com"} | signed())
    assert connection.getresponse().read() == b"x"
    connection.close()


def signed() -> dict[str, str]:
    return {"Authorization": "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, Signature=0"}


@pytest.mark.parametrize(
    ("asked", "got", "said"),
    [("bytes=0-0", b"0", "0-0"), ("bytes=3-", b"3456789", "3-9"), ("bytes=-2", b"89", "8-9")],
)
def test_ranges(s3, bucket, asked, got, said):
    s3.put_object(Bucket=bucket, Key="ten", Body=b"0123456789")
    answer = s3.get_object(Bucket=bucket, Key="ten", Range=asked)
    assert answer["Body"].read() == got
    assert answer["ContentRange"] == f"bytes {said}/10"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206


def test_a_range_beyond_the_end_is_416(s3, bucket):
    s3.put_object(Bucket=bucket, Key="ten", Body=b"0123456789")
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidRange"):
        s3.get_object(Bucket=bucket, Key="ten", Range="bytes=10-")


def test_multipart_up_and_down(s3, bucket):
    data = os.urandom(12 << 20)
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    s3.upload_fileobj(io.BytesIO(data), bucket, "large", Config=parts)
    assert s3.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-3"')
    back = io.BytesIO()
    s3.download_fileobj(bucket, "large", back, Config=parts)
    assert back.getvalue() == data
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_kept_and_told(s3, bucket, algorithm):
    put = s3.put_object(Bucket=bucket, Key=algorithm, Body=b"abc", ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key=algorithm, ChecksumMode="ENABLED")
    assert got["Body"].read() == b"abc"
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]


def test_a_wrong_checksum_stores_nothing(s3, bucket):
    wrong = "A" * 43 + "="
    with pytest.raises(botocore.exceptions.ClientError, match="BadDigest"):
        s3.put_object(Bucket=bucket, Key="wrong", Body=b"abc", ChecksumSHA256=wrong)
    with pytest.raises(botocore.exceptions.ClientError, match="404"):
        s3.head_object(Bucket=bucket, Key="wrong")


def test_chunk_framing_with_a_trailing_checksum(local_aws, s3, bucket):
    body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"
    headers = {
        **signed(),
        "Content-Encoding": "aws-chunked",
        "X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "X-Amz-Decoded-Content-Length": "11",
        "X-Amz-Trailer": "x-amz-checksum-crc32",
        "X-Amz-Sdk-Checksum-Algorithm": "CRC32",
    }
    connection = http.client.HTTPConnection("127.0.0.1", local_aws.port)
    connection.request("PUT", f"/{bucket}/framed", body, headers)
    assert connection.getresponse().status == 200
    connection.close()
    answer = s3.get_object(Bucket=bucket, Key="framed", ChecksumMode="ENABLED")
    assert answer["Body"].read() == b"hello world"
    assert answer["ChecksumCRC32"] == "DUoRhQ=="
    assert "ContentEncoding" not in answer


def test_listing_in_pages_and_by_folder(s3, bucket):
    for number in range(25):
        s3.put_object(Bucket=bucket, Key=f"pages/{number % 2}/{number:02}", Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix="pages/", PaginationConfig={"PageSize": 10}
    )
    assert [len(page["Contents"]) for page in pages] == [10, 10, 5]
    folders = s3.list_objects_v2(Bucket=bucket, Prefix="pages/", Delimiter="/")["CommonPrefixes"]
    assert [folder["Prefix"] for folder in folders] == ["pages/0/", "pages/1/"]


def test_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="once", Body=b"1", IfNoneMatch="*")["ETag"]
    with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="once", Body=b"2", IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="once", Body=b"3", IfMatch=etag)
    current = s3.head_object(Bucket=bucket, Key="once")["ETag"]
    with pytest.raises(botocore.exceptions.ClientError, match="304"):
        s3.get_object(Bucket=bucket, Key="once", IfNoneMatch=current)


def test_posting_by_a_presigned_form(s3, bucket):
    form = s3.generate_presigned_post(bucket, "posted")
    answer = requests.post(form["url"], data=form["fields"], files={"file": b"abc"}, timeout=10)
    assert answer.status_code == 204
    assert s3.get_object(Bucket=bucket, Key="posted")["Body"].read() == b"abc"


def test_deleting_many_at_once(s3, bucket):
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"many/{number}", Body=b"")
    keys = [{"Key": f"many/{number}"} for number in range(5)]
    assert len(s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})["Deleted"]) == 5
    assert s3.list_objects_v2(Bucket=bucket, Prefix="many/")["KeyCount"] == 0
