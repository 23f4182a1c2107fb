"""A replay, with or without the entries that compaction leaves out, ends where the requests ended."""

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.core.request import Request
from werkzeug.test import EnvironBuilder

from localaws import moto_app
from localaws.compaction import superseded
from localaws.journal import Journal
from localaws.operations import identify
from localaws.recorder import Recorder

PORT = 4566


@pytest.fixture(scope="module")
def moto():
    return moto_app.create(PORT, "123456789012", lambda: None)


@pytest.fixture
def stack(moto, tmp_path):
    return Stack(moto, tmp_path)


class Stack:
    """moto with a journal, and the requests that a test makes of it."""

    def __init__(self, moto, folder):
        self.journal = Journal(folder)
        self.recorder = Recorder(moto, self.journal, PORT)
        forget_everything()

    def send(self, method, path, query="", body=b"", service="s3", **headers):
        scope = (
            f"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host"
        )
        builder = EnvironBuilder(
            method=method,
            path=path,
            query_string=query,
            data=body,
            headers={
                "Host": f"127.0.0.1:{PORT}",
                "Authorization": scope,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        request = Request(builder.get_environ())
        request.get_data()
        return self.recorder.answer(request, identify(request))

    def restart(self):
        """Says how many requests it took to be back."""
        self.journal.remove(superseded(self.journal))
        forget_everything()
        return self.recorder.replay()


def forget_everything():
    from moto.awslambda.models import lambda_backends
    from moto.iam.models import iam_backends
    from moto.s3.models import s3_backends
    from moto.sqs.models import sqs_backends

    for backends in (s3_backends, iam_backends, sqs_backends, lambda_backends):
        backends.reset()


def objects():
    """All that S3 holds, unfinished uploads included."""
    from moto.s3.models import s3_backends

    return {
        bucket.name: (
            bucket.creation_date,
            [
                (key.name, key.version_id, key.last_modified, content(key))
                for _, versions in sorted(bucket.keys.lists())
                for key in versions
            ],
            sorted((id_, upload.key_name, sorted(upload.parts)) for id_, upload in bucket.multiparts.items()),
        )
        for bucket in s3_backends["123456789012"]["aws"].buckets.values()
    }


def content(key):
    return (key.etag, key.value, dict(key.metadata)) if hasattr(key, "etag") else "delete marker"


KEYS = ("a", "a/b", "ü +%")
ACTIONS = st.tuples(
    st.sampled_from(
        ["put", "copy", "delete", "delete many", "upload", "abort", "leave", "tag", "drop bucket"]
    ),
    st.sampled_from(["one", "two"]),
    st.sampled_from(KEYS),
    st.sampled_from(KEYS),
)


def act(stack, action, bucket, key, other):
    path = f"/{bucket}/{key}"
    match action:
        case "put":
            number = len(list(stack.journal.headings()))
            stack.send("PUT", path, body=f"{key} {number}".encode(), X_Amz_Meta_My_key="v")
        case "copy":
            stack.send("PUT", path, X_Amz_Copy_Source=f"/two/{other}".encode().decode("latin-1"))
        case "delete":
            stack.send("DELETE", path)
        case "delete many":
            xml = f"<Delete><Object><Key>{key}</Key></Object><Object><Key>{other}</Key></Object></Delete>"
            stack.send("POST", f"/{bucket}", "delete", xml.encode())
        case "tag":
            tags = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"
            stack.send("PUT", path, "tagging", tags.encode())
        case "drop bucket":
            if stack.send("DELETE", f"/{bucket}")[0] == 204:
                stack.send("PUT", f"/{bucket}")
        case "upload" | "abort" | "leave":
            _, _, body = stack.send("POST", path, "uploads")
            upload = re.search(rb"<UploadId>(.+)</UploadId>", body)[1].decode()
            _, headers, _ = stack.send("PUT", path, f"partNumber=1&uploadId={upload}", b"part")
            if action == "upload":
                etag = dict(headers)["ETag"]
                part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
                whole = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
                status, _, answer = stack.send("POST", path, f"uploadId={upload}", whole)
                assert status == 200, answer
            elif action == "abort":
                stack.send("DELETE", path, f"uploadId={upload}")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, max_size=25), versioned=st.booleans())
def test_objects_are_as_they_were(moto, tmp_path_factory, actions, versioned):
    stack = Stack(moto, tmp_path_factory.mktemp("journal"))
    for bucket in ("one", "two"):
        assert stack.send("PUT", f"/{bucket}")[0] == 200
    if versioned:
        enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        assert stack.send("PUT", "/one", "versioning", enabled)[0] == 200
    for action in actions:
        act(stack, *action)
    before = objects()
    stack.restart()
    assert objects() == before
    stack.restart()
    assert objects() == before
    stack.journal.close()


def test_what_is_overwritten_or_deleted_is_left_out(stack):
    stack.send("PUT", "/bucket")
    for number in range(10):
        stack.send("PUT", "/bucket/key", body=b"x" * number)
        stack.send("PUT", f"/bucket/gone-{number}", body=b"x")
        stack.send("DELETE", f"/bucket/gone-{number}")
    before = objects()
    assert stack.restart() == 2, "the bucket, and the last write of the key"
    assert objects() == before


def test_a_deletion_of_several_stays_for_those_that_are_needed(stack):
    stack.send("PUT", "/bucket")
    for key in ("again", "from"):
        stack.send("PUT", f"/bucket/{key}", body=b"x")
    stack.send("PUT", "/bucket/to", X_Amz_Copy_Source="/bucket/from")
    both = b"<Delete><Object><Key>again</Key></Object><Object><Key>from</Key></Object></Delete>"
    assert stack.send("POST", "/bucket", "delete", body=both)[0] == 200
    stack.send("PUT", "/bucket/again", body=b"y")
    before = objects()
    stack.restart()
    assert objects() == before
    assert [key[0] for key in before["bucket"][1]] == ["again", "to"]


def test_a_body_whose_file_is_gone_does_not_keep_the_rest_from_coming_back(stack):
    stack.send("PUT", "/bucket")
    stack.send("PUT", "/bucket/kept", body=b"x")
    keys = b"".join(b"<Object><Key>%d</Key></Object>" % number for number in range(1000))
    stack.send("POST", "/bucket", "delete", body=b"<Delete>" + keys + b"</Delete>")
    (file,) = stack.journal._bodies.glob("*/*")
    file.unlink()
    stack.restart()
    assert [key[0] for key in objects()["bucket"][1]] == ["kept"]


def test_what_was_copied_from_stays_for_the_replay_of_the_copy(stack):
    stack.send("PUT", "/bucket")
    stack.send("PUT", "/bucket/from", body=b"first")
    stack.send("PUT", "/bucket/to", X_Amz_Copy_Source="/bucket/from")
    stack.send("PUT", "/bucket/from", body=b"second")
    before = objects()
    stack.restart()
    assert objects() == before
    assert [key[3][1] for key in before["bucket"][1]] == [b"second", b"first"]


def test_a_conditional_write_is_replayed_without_what_its_condition_was_about(stack):
    stack.send("PUT", "/bucket")
    _, headers, _ = stack.send("PUT", "/bucket/key", body=b"1")
    assert stack.send("PUT", "/bucket/key", body=b"2", If_Match=dict(headers)["ETag"])[0] == 200
    stack.restart()
    assert objects()["bucket"][1][0][3][1] == b"2"


def test_code_that_a_function_was_made_from_stays_for_its_replay(stack):
    stack.send("PUT", "/bucket")
    stack.send("PUT", "/bucket/code.zip", body=EMPTY_ZIP)
    role = {"Version": "2012-10-17", "Statement": []}
    form = f"Action=CreateRole&RoleName=r&AssumeRolePolicyDocument={json.dumps(role)}"
    made = stack.send("POST", "/", body=form.encode(), service="iam", Content_Type=FORM)
    assert made[0] == 200
    function = {
        "FunctionName": "f",
        "Runtime": "python3.11",
        "Role": "arn:aws:iam::123456789012:role/r",
        "Handler": "h.h",
        "Code": {"S3Bucket": "bucket", "S3Key": "code.zip"},
    }
    body = json.dumps(function).encode()
    status, _, answer = stack.send("POST", "/2015-03-31/functions", body=body, service="lambda")
    assert status == 201, answer
    stack.send("DELETE", "/bucket/code.zip")
    stack.restart()
    assert stack.send("GET", "/2015-03-31/functions/f", service="lambda")[0] == 200
    assert objects()["bucket"][1] == []


EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
FORM = "application/x-www-form-urlencoded"


def test_secrets_of_the_caller_are_not_kept(stack):
    stack.send("PUT", "/bucket", "X-Amz-Security-Token=SECRET&x=1", X_Amz_Security_Token="SECRET")
    (entry,) = stack.journal.entries()
    assert "SECRET" not in json.dumps(entry.environ)
    assert "Signature" not in entry.environ["HTTP_AUTHORIZATION"]


def test_reads_and_failures_leave_no_trace(stack):
    stack.send("GET", "/nothing")
    stack.send("PUT", "/nothing/key", body=b"x")
    stack.send("DELETE", "/nothing")
    assert not list(stack.journal.headings())
