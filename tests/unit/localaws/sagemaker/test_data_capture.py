"""The capture writer: SageMaker's format and layout, and that nothing is lost."""

import base64
import json
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from localaws.sagemaker.capture import CaptureOptions, CaptureWriter, Exchange, record
from monitoring.capture import read_captures

REAL = Path(__file__).parents[5] / "shared" / "data" / "captures"
# The member names and their order in a line that a SageMaker endpoint wrote.
MEMBERS = {
    "captureData": {
        "endpointInput": ["observedContentType", "mode", "data", "encoding"],
        "endpointOutput": ["observedContentType", "mode", "data", "encoding"],
    },
    "eventMetadata": ["eventId", "inferenceTime"],
}
OPTIONS = CaptureOptions(
    destination="s3://bucket/capture",
    percentage=100,
    modes=frozenset({"Input", "Output"}),
    csv_types=frozenset({"text/csv"}),
    json_types=frozenset({"application/json"}),
)
EXCHANGE = Exchange(
    variant="AllTraffic",
    moment=datetime(2026, 2, 3, 4, 5, 6, 78_000, tzinfo=UTC),
    body=b"\x89PNG",
    content_type="image/png",
    answer=b"[0.9, 0.1]",
    answer_type="application/json",
)


class Bucket:
    """A bucket in memory that can be made to refuse."""

    def __init__(self):
        self.objects = {}
        self.refusals = 0
        self.lock = threading.Lock()

    def put_object(self, **request):
        with self.lock:
            if self.refusals:
                self.refusals -= 1
                raise ClientError({"Error": {"Code": "NoSuchBucket", "Message": "not yet"}}, "PutObject")
            self.objects[request["Key"]] = request

    def lines(self):
        return [
            json.loads(line) for item in self.objects.values() for line in item["Body"].decode().splitlines()
        ]


def test_a_record_has_sagemakers_members_in_sagemakers_order():
    line = record(EXCHANGE, OPTIONS)

    assert list(line) == ["captureData", "eventMetadata", "eventVersion"]
    assert line["eventVersion"] == "0"
    assert {side: list(members) for side, members in line["captureData"].items()} == MEMBERS["captureData"]
    assert list(line["eventMetadata"]) == MEMBERS["eventMetadata"]
    assert line["eventMetadata"]["inferenceTime"] == "2026-02-03T04:05:06Z"
    assert line["captureData"]["endpointInput"] == {
        "observedContentType": "image/png",
        "mode": "INPUT",
        "data": base64.b64encode(b"\x89PNG").decode(),
        "encoding": "BASE64",
    }
    assert line["captureData"]["endpointOutput"]["data"] == "[0.9, 0.1]"


@pytest.mark.skipif(not REAL.exists(), reason="the real files are not at hand; MEMBERS is their shape")
def test_the_shape_is_that_of_the_real_files():
    paths = list(REAL.rglob("*.jsonl"))
    assert paths
    for path in paths:
        for text in path.read_text().splitlines():
            real, ours = json.loads(text), record(EXCHANGE, OPTIONS)
            assert list(real) == list(ours)
            for member in MEMBERS:
                assert list(real[member]) == list(ours[member])
            for side in MEMBERS["captureData"]:
                assert list(real["captureData"][side]) == list(ours["captureData"][side])


@pytest.mark.parametrize(
    ("content_type", "body", "encoding"),
    [
        ("text/csv; charset=utf-8", b"1,2", "CSV"),
        ("Application/JSON", b"{}", "JSON"),
        ("image/png", b"x", "BASE64"),
        ("text/csv", b"\xff\xfe", "BASE64"),  # not text after all
    ],
)
def test_the_encoding_follows_the_content_type(content_type, body, encoding):
    line = record(replace(EXCHANGE, content_type=content_type, body=body), OPTIONS)

    assert line["captureData"]["endpointInput"]["encoding"] == encoding


def test_ids_and_attributes_of_the_caller_are_kept():
    line = record(replace(EXCHANGE, inference_id="seven", custom_attributes="trace=1"), OPTIONS)

    assert line["eventMetadata"]["inferenceId"] == "seven"
    assert line["eventMetadata"]["customAttributes"] == ["trace=1"]


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        (None, None),
        ({"EnableCapture": False}, None),
        ({"InitialSamplingPercentage": 10}, None),  # a missing EnableCapture does not enable
        ({"EnableCapture": True, "CaptureOptions": [{"CaptureMode": "Output"}]}, {"Output"}),
        ({"EnableCapture": True, "CaptureOptions": [{"CaptureMode": "InputAndOutput"}]}, {"Input", "Output"}),
    ],
)
def test_options_from_a_config(config, modes):
    whole = config and {"InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://b/p"} | config

    options = CaptureOptions.from_config(whole)

    assert (options and set(options.modes)) == modes


def test_files_lie_where_sagemaker_puts_them():
    bucket = Bucket()
    writer = CaptureWriter(bucket, "scones", OPTIONS)
    writer.add(EXCHANGE)
    writer.add(replace(EXCHANGE, moment=EXCHANGE.moment.replace(second=9)))
    writer.add(replace(EXCHANGE, moment=EXCHANGE.moment.replace(hour=5)))
    writer.add(replace(EXCHANGE, variant="canary"))
    writer.close()

    name = r"/05-06-078-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.jsonl"
    folders = sorted(re.sub(name, "", key) for key in bucket.objects)
    assert folders == [
        "capture/scones/AllTraffic/2026/02/03/04",
        "capture/scones/AllTraffic/2026/02/03/05",
        "capture/scones/canary/2026/02/03/04",
    ]
    assert len(bucket.lines()) == 4


def test_a_refused_write_is_tried_again():
    bucket = Bucket()
    writer = CaptureWriter(bucket, "scones", OPTIONS)
    bucket.refusals = 1
    for _ in range(3):
        writer.add(replace(EXCHANGE, body=bytes(4 << 20)))  # enough to be written before its time
    while bucket.refusals:
        threading.Event().wait(0.01)
    writer.close()

    assert len(bucket.lines()) == 3


def test_what_cannot_be_written_waits_in_so_much_memory_only(monkeypatch, caplog):
    monkeypatch.setattr("localaws.sagemaker.capture._KEPT_BYTES", 10 << 20)
    monkeypatch.setattr("localaws.sagemaker.capture.FLUSH_SECONDS", 0.01)
    bucket = Bucket()
    bucket.refusals = 1 << 30
    writer = CaptureWriter(bucket, "scones", OPTIONS)
    for number in range(20):
        writer.add(replace(EXCHANGE, body=bytes(1 << 20), inference_id=str(number)))
    while "there is no room" not in caplog.text:
        threading.Event().wait(0.01)
    with bucket.lock:
        bucket.refusals = 0
    writer.close()

    kept = [line["eventMetadata"]["inferenceId"] for line in bucket.lines()]
    assert len(kept) < 20
    assert kept[-1] == "19"


def test_a_record_that_comes_after_the_end_is_written_all_the_same():
    bucket = Bucket()
    writer = CaptureWriter(bucket, "scones", OPTIONS)
    writer.close()

    writer.add(EXCHANGE)

    assert len(bucket.lines()) == 1


def test_the_kms_key_encrypts_the_files():
    bucket = Bucket()
    writer = CaptureWriter(bucket, "scones", replace(OPTIONS, kms_key="key"))
    writer.add(EXCHANGE)
    writer.close()

    (written,) = bucket.objects.values()
    assert (written["ServerSideEncryption"], written["SSEKMSKeyId"]) == ("aws:kms", "key")


@pytest.mark.parametrize(("percentage", "low", "high"), [(0, 0, 0), (100, 2000, 2000), (30, 480, 720)])
def test_the_sample_is_as_large_as_asked(percentage, low, high):
    writer = CaptureWriter(Bucket(), "scones", replace(OPTIONS, percentage=percentage))

    assert low <= sum(writer.wanted() for _ in range(2000)) <= high
    writer.close()


@settings(deadline=None)
@given(bodies=st.lists(st.binary(max_size=64), min_size=1, max_size=8))
def test_monitoring_reads_back_every_byte(tmp_path_factory, bodies):
    bucket = Bucket()
    writer = CaptureWriter(bucket, "scones", OPTIONS)
    for number, body in enumerate(bodies):
        writer.add(replace(EXCHANGE, body=body, inference_id=str(number)))
    writer.close()
    folder = tmp_path_factory.mktemp("captured")
    for key, item in bucket.objects.items():
        path = folder / key
        path.parent.mkdir(parents=True)
        path.write_bytes(item["Body"])

    captures = read_captures(folder, classes=("bicycle", "motorcycle"))

    assert captures.malformed == ()
    read = dict(zip(captures.table["inference_id"], captures.table["input"], strict=True))
    assert [read[str(number)].content for number in range(len(bodies))] == bodies
