"""What S3 does with an upload before it stores it, and moto does not: framing, digests, content types."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from moto.core.request import Request

from localaws.errors import AwsError
from localaws.operations import FORM, Operation
from localaws.wire import as_input, replaced

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# CRC-32C and CRC-64/NVME need a native library that boto3 does not bring; they are kept as the client says.
_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "SHA1": lambda body: hashlib.sha1(body).digest(),  # noqa: S324 - S3 offers it
    "SHA256": lambda body: hashlib.sha256(body).digest(),
}
_STREAMED = "STREAMING-"
# Operations that moto would take for another one, by the query or header that it does not look at.
_NOT_IN_MOTO = re.compile(
    r"(Analytics|IntelligentTiering|Metrics|Metadata|Abac|Annotation|RequestPayment|Torrent|CreateSession|"
    r"RenameObject|UpdateObjectEncryption|WriteGetObjectResponse|DirectoryBuckets)"
)


def is_missing(operation: Operation) -> bool:
    """Whether this is an S3 operation that moto would mistake for another."""
    return _NOT_IN_MOTO.search(operation.name) is not None


def checked(request: Request) -> Request:
    """The upload as it is to be stored. Raises AwsError when the body is not what its digests say.

    The framing is that of https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html:
    chunks of `hex-size[;chunk-signature=…]CRLF bytes CRLF`, ended by a chunk of size 0 and trailing headers.
    """
    if request.headers.get("X-Amz-Content-Sha256", "").startswith(_STREAMED):
        request = _unframed(request)
    body = request.get_data()
    md5 = request.headers.get("Content-MD5")
    if md5 and _decoded(md5) != hashlib.md5(body).digest():  # noqa: S324 - the header's own algorithm
        raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    for algorithm, digest in _DIGESTS.items():
        said = request.headers.get(f"X-Amz-Checksum-{algorithm}")
        if said and _decoded(said) != digest(body):
            raise AwsError(
                "BadDigest", f"The {algorithm} you specified did not match the calculated checksum."
            )
    if request.method == "PUT" and request.mimetype == FORM:
        # moto would take the object's bytes for a form's fields.
        request = replaced(request, body, CONTENT_TYPE="binary/octet-stream")
    return request


def put_again(environ: WSGIEnvironment, body: bytes) -> None:
    """Replays a PutObject: moto's own operation, without the routing and the answer around it.

    Most of what is replayed is this, and two thirds of its time were around it.
    """
    from moto.s3.responses import S3Response

    request = Request({**environ, **as_input(body)})
    response = S3Response()
    response.setup_class(request, request.raw_url, request.headers)
    response.put_object()


def _unframed(request: Request) -> Request:
    try:
        body, trailers = _unframe(request.get_data())
    except ValueError as error:
        raise AwsError("IncompleteBody", f"The request's aws-chunked body is broken: {error}.") from error
    expected = request.headers.get("X-Amz-Decoded-Content-Length")
    if expected and int(expected) != len(body):
        raise AwsError("IncompleteBody", f"The body has {len(body)} bytes where its header says {expected}.")
    encodings = [name.strip() for name in request.headers.get("Content-Encoding", "").split(",")]
    encoding = ",".join(name for name in encodings if name not in ("", "aws-chunked"))
    environ = {
        "HTTP_" + name.upper().replace("-", "_"): value
        for name, value in trailers.items()
        if name.startswith("x-amz-checksum-")
    }
    if encoding:
        environ["HTTP_CONTENT_ENCODING"] = encoding
    framing = ("HTTP_X_AMZ_CONTENT_SHA256", "HTTP_X_AMZ_DECODED_CONTENT_LENGTH", "HTTP_X_AMZ_TRAILER")
    return replaced(request, body, without=(*framing, "HTTP_CONTENT_ENCODING"), **environ)


def _unframe(framed: bytes) -> tuple[bytes, dict[str, str]]:
    """The bytes and the trailing headers (names in lower case). Raises ValueError."""
    chunks, position = [], 0
    while True:
        end = framed.index(b"\r\n", position)
        size = int(framed[position:end].partition(b";")[0], 16)
        position = end + 2
        if size == 0:
            break
        chunk = framed[position : position + size]
        if len(chunk) < size:
            raise ValueError("a chunk is cut off")
        chunks.append(chunk)
        position += size + 2
    lines = framed[position:].decode("latin-1").split("\r\n")
    trailers = (line.partition(":") for line in lines if ":" in line)
    return b"".join(chunks), {name.strip().lower(): value.strip() for name, _, value in trailers}


def _decoded(digest: str) -> bytes:
    try:
        return base64.b64decode(digest, validate=True)
    except ValueError:
        raise AwsError("InvalidDigest", "A digest of the request is not valid Base64.") from None
