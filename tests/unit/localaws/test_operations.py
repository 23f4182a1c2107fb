"""Requests of every protocol are told apart by what is on the wire."""

import pytest
from moto.core.request import Request
from werkzeug.test import EnvironBuilder

from localaws.operations import identify, signing_name


def request(method="POST", path="/", query="", service="s3", headers=None, body=b"", content_type=None):
    scope = f"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host"
    builder = EnvironBuilder(
        method=method,
        path=path,
        query_string=query,
        data=body,
        content_type=content_type,
        headers={"Authorization": scope, **(headers or {})},
    )
    made = Request(builder.get_environ())
    made.get_data()
    return made


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "name", "changes"),
    [
        ("PUT", "/bucket", "", {}, "CreateBucket", True),
        ("PUT", "/bucket/key", "", {}, "PutObject", True),
        ("PUT", "/bucket/key", "", {"x-amz-copy-source": "/bucket/other"}, "CopyObject", True),
        ("PUT", "/bucket/key", "partNumber=1&uploadId=u", {}, "UploadPart", True),
        ("POST", "/bucket/key", "uploads", {}, "CreateMultipartUpload", True),
        ("POST", "/bucket/key", "uploadId=u", {}, "CompleteMultipartUpload", True),
        ("DELETE", "/bucket/key", "uploadId=u", {}, "AbortMultipartUpload", True),
        ("POST", "/bucket", "delete", {}, "DeleteObjects", True),
        ("PUT", "/bucket", "versioning", {}, "PutBucketVersioning", True),
        ("POST", "/bucket/key", "select&select-type=2", {}, "SelectObjectContent", False),
        ("GET", "/bucket/key", "", {}, "GetObject", False),
        ("HEAD", "/bucket/key", "", {}, "HeadObject", False),
        ("GET", "/bucket", "list-type=2", {}, "ListObjectsV2", False),
    ],
)
def test_s3_by_method_path_and_query(method, path, query, headers, name, changes):
    operation = identify(request(method, path, query, headers=headers))
    assert (operation.name, operation.changes) == (name, changes)


def test_s3_labels_name_bucket_and_key():
    assert identify(request("PUT", "/bucket/a/b%20c")).labels == {"Bucket": "bucket", "Key": "a/b c"}


@pytest.mark.parametrize(
    ("service", "target", "changes"),
    [
        ("states", "AWSStepFunctions.CreateStateMachine", True),
        ("states", "AWSStepFunctions.StartExecution", False),
        ("states", "AWSStepFunctions.SendTaskSuccess", False),
        ("logs", "Logs_20140328.PutLogEvents", True),
        ("logs", "Logs_20140328.GetLogEvents", False),
        ("kms", "TrentService.GenerateDataKeyWithoutPlaintext", False),
        ("kms", "TrentService.CreateKey", True),
        ("ssm", "AmazonSSM.GetParameter", False),
    ],
)
def test_json_protocol_by_its_target(service, target, changes):
    operation = identify(request(service=service, headers={"X-Amz-Target": target}))
    assert operation.name == target.split(".")[1]
    assert operation.changes is changes


def test_query_protocol_by_its_form():
    body, form = b"Action=CreateRole&RoleName=r", "application/x-www-form-urlencoded"
    made = request(service="iam", body=body, content_type=form)
    assert identify(made).name == "CreateRole"
    assert made.get_data() == body, "the body must still be there for who answers"


def test_cbor_protocol_by_its_path():
    path = "/service/GraniteServiceVersion20100801/operation/PutMetricData"
    assert identify(request(path=path, service="monitoring")).name == "PutMetricData"


def test_rest_json_by_method_and_path():
    assert identify(request("POST", "/2015-03-31/functions", service="lambda")).name == "CreateFunction"
    operation = identify(request("GET", "/2015-03-31/nothing/here", service="lambda"))
    assert (operation.name, operation.changes) == ("GET /2015-03-31/nothing/here", False)


def test_unknown_service_falls_back_to_the_method():
    assert identify(request("DELETE", "/thing", service="nosuchservice")).changes
    assert not identify(request("GET", "/thing", service="nosuchservice")).changes


def test_presigned_requests_are_signed_by_their_query():
    builder = EnvironBuilder(
        path="/bucket/key", query_string={"X-Amz-Credential": "AKID/20260101/eu-west-1/s3/aws4_request"}
    )
    assert signing_name(Request(builder.get_environ())) == "s3"


@pytest.mark.parametrize(
    "authorization", ["", "Basic dTpw", "AWS AKID:signature", "AWS4-HMAC-SHA256 nonsense"]
)
def test_no_scope_no_signing_name(authorization):
    builder = EnvironBuilder(path="/", headers={"Authorization": authorization})
    assert signing_name(Request(builder.get_environ())) is None
