"""Each protocol's error is one that botocore's own parser reads."""

import botocore.session
import pytest
from botocore.parsers import create_parser
from moto.core.request import Request
from werkzeug.test import EnvironBuilder

from localaws import errors
from localaws.errors import AwsError
from localaws.operations import FORM, Operation

JSON = "application/x-amz-json-1.0"
PROTOCOLS = [
    ("s3", "s3", "rest-xml", {}, None),
    ("states", "stepfunctions", "json", {"X-Amz-Target": "AWSStepFunctions.X"}, JSON),
    ("iam", "iam", "query", {}, FORM),
    ("lambda", "lambda", "rest-json", {}, None),
    (
        "monitoring",
        "cloudwatch",
        "smithy-rpc-v2-cbor",
        {"Smithy-Protocol": "rpc-v2-cbor"},
        "application/cbor",
    ),
]


def made_request(headers, content_type):
    builder = EnvironBuilder(method="POST", path="/", headers=headers, content_type=content_type, data=b"")
    return Request(builder.get_environ())


def read(name, protocol, answer):
    """What boto3 would make of the answer."""
    status, headers, body = answer
    model = botocore.session.get_session().get_service_model(name)
    shape = model.operation_model(model.operation_names[0]).output_shape
    raw = {"status_code": status, "headers": {k.lower(): v for k, v in headers}, "body": body, "context": {}}
    return create_parser(protocol).parse(raw, shape)


@pytest.mark.parametrize(("service", "name", "protocol", "headers", "content_type"), PROTOCOLS)
def test_code_and_message_arrive(service, name, protocol, headers, content_type):
    error = AwsError("SomeCode", "Words, <signs> & ümlauts.", 400)
    operation = Operation(service, "DoIt", changes=True)
    parsed = read(name, protocol, errors.answer(made_request(headers, content_type), operation, error))
    assert parsed["Error"]["Code"] == "SomeCode"
    assert parsed["Error"]["Message"] == "Words, <signs> & ümlauts."
    assert parsed["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(("service", "name", "protocol", "headers", "content_type"), PROTOCOLS)
def test_what_is_not_there_is_named_and_not_retried(service, name, protocol, headers, content_type):
    request, operation = made_request(headers, content_type), Operation(service, "DoIt", changes=True)
    error = errors.unsupported(request, operation)
    assert "DoIt" in str(error)
    assert repr(service) in str(error)
    assert error.status not in (500, 502, 503, 504), "botocore would try again"
