"""Uploads are unframed and checked as S3 does it."""

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.core.request import Request
from werkzeug.test import EnvironBuilder

from localaws.errors import AwsError
from localaws.s3_uploads import checked


def upload(body: bytes, method="PUT", **headers: str) -> Request:
    builder = EnvironBuilder(
        method=method, path="/b/k", data=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    made = Request(builder.get_environ())
    made.get_data()
    return made


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def framed(chunks: list[bytes], trailers: str = "", signature: str = "") -> bytes:
    parts = [b"%x%b\r\n%b\r\n" % (len(chunk), signature.encode(), chunk) for chunk in chunks if chunk]
    return b"".join(parts) + b"0" + signature.encode() + b"\r\n" + trailers.encode() + b"\r\n"


@given(st.lists(st.binary(max_size=300), max_size=5), st.sampled_from(["", ";chunk-signature=abc"]))
def test_chunk_framing_is_taken_off(chunks, signature):
    body = b"".join(chunks)
    crc = b64(zlib.crc32(body).to_bytes(4, "big"))
    request = checked(
        upload(
            framed(chunks, f"x-amz-checksum-crc32:{crc}\r\n", signature),
            X_Amz_Content_Sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            X_Amz_Decoded_Content_Length=str(len(body)),
            Content_Encoding="gzip, aws-chunked",
        )
    )
    assert request.get_data() == body
    assert request.headers["X-Amz-Checksum-Crc32"] == crc
    assert request.headers["Content-Encoding"] == "gzip"
    assert "X-Amz-Content-Sha256" not in request.headers


@pytest.mark.parametrize(
    ("body", "length"),
    [(b"5\r\nabc", "3"), (b"zz\r\nabc\r\n0\r\n\r\n", "3"), (b"", "0"), (framed([b"abc"]), "4")],
)
def test_broken_framing_is_refused(body, length):
    request = upload(
        body,
        X_Amz_Content_Sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        X_Amz_Decoded_Content_Length=length,
    )
    with pytest.raises(AwsError) as caught:
        checked(request)
    assert caught.value.code == "IncompleteBody"


@pytest.mark.parametrize(
    ("header", "digest"),
    [
        ("Content_MD5", lambda body: hashlib.md5(body).digest()),
        ("X_Amz_Checksum_Sha256", lambda body: hashlib.sha256(body).digest()),
        ("X_Amz_Checksum_Sha1", lambda body: hashlib.sha1(body).digest()),
        ("X_Amz_Checksum_Crc32", lambda body: zlib.crc32(body).to_bytes(4, "big")),
    ],
)
def test_digests_are_compared_with_the_body(header, digest):
    assert checked(upload(b"abc", **{header: b64(digest(b"abc"))})).get_data() == b"abc"
    with pytest.raises(AwsError) as caught:
        checked(upload(b"abd", **{header: b64(digest(b"abc"))}))
    assert caught.value.code == "BadDigest"


def test_a_digest_that_is_no_base64_is_invalid():
    with pytest.raises(AwsError) as caught:
        checked(upload(b"abc", Content_MD5="no base64!"))
    assert caught.value.code == "InvalidDigest"


def test_an_object_sent_as_a_form_is_still_bytes():
    request = checked(upload(b"a=1&b=2", Content_Type="application/x-www-form-urlencoded"))
    assert request.get_data() == b"a=1&b=2"
    assert not request.form
