"""Reading capture files: the real ones where they are at hand, ones of our own, and wild ones."""

import base64
import io
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monitoring.capture import (
    COLUMNS,
    CaptureError,
    Malformed,
    MalformedCaptureError,
    NoLaterCaptureError,
    Payload,
    read_captures,
)

CLASSES = ("bicycle", "motorcycle")
REAL = Path(__file__).parents[4] / "shared" / "data" / "captures"
# The shape of a line that a SageMaker endpoint wrote.
FOLDER = "scones/AllTraffic/2026/02/03/04"


def png(brightness: int = 128) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (brightness,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def line(probabilities=(0.9, 0.1), time="2026-02-03T04:05:06Z", event="e1", **changes):
    record = {
        "captureData": {
            "endpointInput": {
                "observedContentType": "image/png",
                "mode": "INPUT",
                "data": base64.b64encode(png()).decode(),
                "encoding": "BASE64",
            },
            "endpointOutput": {
                "observedContentType": "application/json",
                "mode": "OUTPUT",
                "data": json.dumps(probabilities),
                "encoding": "JSON",
            },
        },
        "eventMetadata": {"eventId": event, "inferenceTime": time},
        "eventVersion": "0",
    }
    record["captureData"].update(changes)
    return json.dumps(record)


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{each}\n" for each in lines))
    return path


def test_many_records_a_file_in_order_of_time(tmp_path):
    write(tmp_path, "05-07-000-a.jsonl", line(time="2026-02-03T04:05:09Z", event="late"))
    write(
        tmp_path,
        "05-06-000-b.jsonl",
        line((0.2, 0.8), time="2026-02-03T04:05:06Z", event="first"),
        line((0.6, 0.4), time="2026-02-03T04:05:07Z", event="second"),
    )

    captures = read_captures(tmp_path, classes=CLASSES)

    table = captures.table
    assert tuple(table.columns) == COLUMNS
    assert list(table["event_id"]) == ["first", "second", "late"]
    assert list(table["predicted"]) == ["motorcycle", "bicycle", "bicycle"]
    assert list(table["confidence"]) == [0.8, 0.6, 0.9]
    assert set(table["variant"]) == {"AllTraffic"}
    assert list(table["line"]) == [1, 2, 1]
    assert str(table["time"].dtype.tz) == "UTC"
    assert captures.files == 2
    assert captures.malformed == ()


def test_images_are_decoded_when_asked_for(tmp_path):
    broken = {"observedContentType": "image/png", "mode": "INPUT", "data": "AAAA", "encoding": "BASE64"}
    write(tmp_path, "a.jsonl", line(), line(endpointInput=broken))

    inputs = read_captures(tmp_path).table["input"]

    assert inputs[0].content == png()
    assert np.asarray(inputs[0].image()).shape == (32, 32, 3)
    assert inputs[1].image() is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "object"),
        ("{}", "captureData is missing"),
        ("[" * 100_000, "not JSON"),
        ('{"captureData":' * 100_000, "not JSON"),
        (line(time="yesterday"), "eventMetadata.inferenceTime: "),
        (line(time="9999-12-31T23:59:59-12:00"), "inferenceTime is of the year 9999"),
        (line(time="0001-01-01T00:00:00+12:00"), "inferenceTime is of the year 1"),
        (line(time=1_700_000_000), "eventMetadata.inferenceTime: "),
        (line(event=7), "eventMetadata.eventId: "),
        (line(event="\ud800"), "not JSON"),
        (line((0.2, 0.3, 0.5)), "3 probabilities for 2 classes"),
        (line((1.2, -0.2)), "not a list of probabilities"),
        (line((float("nan"), 1.0)), "not a list of probabilities"),
        (line((10**400, 0)), "not a list of probabilities"),
        (line((True, False)), "not a list of probabilities"),
        (line(()), "not a list of probabilities"),
        (line((1, 1)), "sums to 2"),
        (line((0, 0)), "sums to 0"),
        (line({"error": "out of memory"}), "not a list of probabilities"),
        (line(endpointOutput={"data": "<html>" * 1_000, "encoding": "JSON"}), "not a list of probabilities"),
        (line(endpointOutput={"data": "[" * 100_000, "encoding": "JSON"}), "not a list of probabilities"),
        (line(endpointOutput={"data": "!", "encoding": "BASE64"}), "endpointOutput.data is not BASE64"),
        (line(endpointOutput={"data": "/w==", "encoding": "BASE64"}), "endpointOutput.data is not BASE64"),
        (line(endpointOutput=0), "captureData.endpointOutput: "),
        (line(endpointInput=None, endpointOutput=None), "neither endpointInput nor endpointOutput"),
        (line(endpointInput={"data": "AAAA"}), "captureData.endpointInput.encoding is missing"),
        (line(endpointInput={"data": 0, "encoding": "BASE64"}), "captureData.endpointInput.data: "),
    ],
)
def test_a_line_that_is_no_record_is_named_and_the_others_are_read(tmp_path, bad, reason):
    path = write(tmp_path, "a.jsonl", line(), bad, line())

    captures = read_captures(tmp_path, classes=CLASSES)

    assert len(captures.table) == 2
    (malformed,) = captures.malformed
    assert str(malformed).startswith(f"{path.as_posix()}, line 2: ")
    assert reason in malformed.reason
    assert len(malformed.reason) < 200


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("[0.25, 0.75]", "JSON"),
        ("[[0.25, 0.75]]", "JSON"),
        ("0.25,0.75\n", "CSV"),
        (base64.b64encode(b"[0.25, 0.75]").decode(), "BASE64"),
    ],
)
def test_answers_in_every_encoding(tmp_path, data, encoding):
    answer = {"observedContentType": "any", "mode": "OUTPUT", "data": data, "encoding": encoding}
    write(tmp_path, "a.jsonl", line(endpointOutput=answer))

    assert read_captures(tmp_path, classes=CLASSES).table["probabilities"][0] == (0.25, 0.75)


def test_without_names_the_classes_are_numbered(tmp_path):
    write(tmp_path, "a.jsonl", line((0.1, 0.2, 0.7)))

    captures = read_captures(tmp_path)

    assert captures.classes == ("class 0", "class 1", "class 2")
    assert captures.table["predicted"][0] == "class 2"


def test_a_record_of_the_input_alone_has_no_answer(tmp_path):
    write(tmp_path, "a.jsonl", line(endpointOutput=None), line())

    table = read_captures(tmp_path, classes=CLASSES).table

    assert table["probabilities"][0] is None
    assert np.isnan(table["confidence"][0])


def test_records_of_our_own_tests_can_be_left_out(tmp_path):
    record = json.loads(line(event="ours"))
    record["eventMetadata"]["inferenceId"] = "smoke-test"
    write(tmp_path, "a.jsonl", line(event="theirs"), json.dumps(record))

    assert list(read_captures(tmp_path).without(["smoke-test"]).table["event_id"]) == ["theirs"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [(None, "no capture files"), ([], "are empty"), (["nonsense"], "line 1: not JSON")],
)
def test_nothing_to_read_is_an_error_that_says_why(tmp_path, lines, says):
    if lines is not None:
        write(tmp_path, "a.jsonl", *lines)

    with pytest.raises(CaptureError, match=says):
        read_captures(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CaptureError, match="does not exist"):
        read_captures(tmp_path / "nowhere")


@settings(deadline=None)  # of files and databases, on whatever disk
@given(noise=st.lists(st.binary(max_size=80), max_size=8))
def test_whatever_stands_between_records_never_stops_the_reading(tmp_path_factory, noise):
    folder = tmp_path_factory.mktemp("wild")
    path = write(folder, "a.jsonl")
    path.write_bytes(b"\n".join([line().encode(), *noise, line().encode()]))

    assert len(read_captures(folder).table) == 2


def hours(tmp_path):
    """A record at ten past each hour from 4 to 8, in the folder of its hour."""
    for hour in range(4, 9):
        path = tmp_path / f"scones/AllTraffic/2026/02/03/{hour:02}/10-00-000-a.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text(line(time=f"2026-02-03T{hour:02}:10:00Z", event=f"{hour}") + "\n")


@pytest.mark.parametrize(
    ("since", "events", "files"),
    [
        (None, "45678", 5),
        ("2026-02-03T06:10:00.9Z", "678", 4),  # records have whole seconds; an hour more is read
        ("2026-02-03T06:10:01Z", "78", 4),
        ("2026-02-03T08:10:00+02:00", "678", 4),
        ("2026-02-03T00:30:00Z", "45678", 5),
    ],
)
def test_since_a_time_only_later_hours_are_read(tmp_path, since, events, files):
    hours(tmp_path)
    moment = datetime.fromisoformat(since) if since else None
    captures = read_captures(tmp_path, since=moment)
    assert "".join(captures.table["event_id"]) == events
    assert captures.files == files


@pytest.mark.parametrize("since", ["2026-02-03T08:10:01Z", "2026-02-04T00:00:00Z", "2027-01-01T00:00:00Z"])
def test_records_that_are_all_earlier_are_told(tmp_path, since):
    hours(tmp_path)
    with pytest.raises(NoLaterCaptureError, match=r"holds no record since 202\d"):
        read_captures(tmp_path, since=datetime.fromisoformat(since))


@pytest.mark.parametrize("since", [datetime(1, 1, 1, tzinfo=UTC), datetime(900, 1, 1, tzinfo=UTC)])
def test_since_before_there_were_records_is_since_ever(tmp_path, since):
    hours(tmp_path)
    assert len(read_captures(tmp_path, since=since).table) == 5


def test_a_place_is_no_command_to_the_terminal():
    malformed = Malformed("s3://bucket/\x1b[31mred\nnew\u202e.jsonl", 1, "x" * 1_000)
    assert str(malformed).isprintable()
    assert len(str(malformed)) < 300


def jpeg(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 10)).save(buffer, "JPEG")
    return Payload(base64.b64encode(buffer.getvalue()).decode(), "BASE64")


def test_a_large_image_is_not_decoded_any_larger_than_it_need_be():
    assert jpeg(3_000, 2_000).image(256).size == (256, 171)
    assert jpeg(30, 20).image(256).size == (30, 20)


def test_an_image_that_no_endpoint_takes_is_none():
    assert jpeg(10_000, 5_001).image() is None


def payload(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return Payload(base64.b64encode(buffer.getvalue()).decode(), "BASE64")


def test_images_are_seen_as_the_model_sees_them():
    """Grey of 16 bits scaled, not cut off; turned as the camera says."""
    deep = payload(Image.fromarray(np.full((4, 4), 30_000, np.uint16)))
    assert deep.image().getpixel((0, 0)) == (117, 117, 117)
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    assert payload(Image.new("RGB", (40, 20)), exif=turned).image(256).size == (20, 40)


def test_a_colour_profile_that_is_cut_off_stops_nobody():
    """The model answers it, so that it is captured; Pillow's decoder raises IndexError."""
    whole = base64.b64decode(payload(Image.new("RGB", (4, 4))).data)
    end = whole.rindex(b"IEND") - 4
    cut = whole[:end] + b"\0\0\0\1iCCPP" + zlib.crc32(b"iCCPP").to_bytes(4, "big") + whole[end:]
    Payload(base64.b64encode(cut).decode(), "BASE64").image(256)  # whatever it shows


def test_what_is_no_record_is_told_beside_what_is_too_early(tmp_path):
    hours(tmp_path)
    path = tmp_path / "scones/AllTraffic/2026/02/03/08/20-00-000-b.jsonl"
    path.write_text("broken\n")
    with pytest.raises(
        MalformedCaptureError, match=r"no record since 2026.*, and what is no record: .* JSON"
    ):
        read_captures(tmp_path, since=datetime(2026, 2, 3, 8, 30, tzinfo=UTC))


@pytest.mark.parametrize("year", [2199, 2200, 9999])
def test_since_a_time_to_come_there_is_nothing(tmp_path, year):
    hours(tmp_path)
    with pytest.raises(NoLaterCaptureError):
        read_captures(tmp_path, since=datetime(year, 12, 31, 23, tzinfo=UTC))


def test_a_time_without_a_zone_is_utc(tmp_path):
    write(tmp_path, "a.jsonl", line(time="2026-02-03T04:05:06"))
    (time,) = read_captures(tmp_path, since=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)).table["time"]
    assert time.isoformat() == "2026-02-03T04:05:06+00:00"


@pytest.mark.skipif(not REAL.exists(), reason="the real capture files are not at hand; ours have their shape")
def test_the_real_files_of_two_endpoints():
    captures = read_captures(REAL, classes=CLASSES)

    assert captures.files == 2
    assert captures.malformed == ()
    assert list(captures.table["confidence"].round(4)) == [0.9155, 0.9198, 0.8228]
    assert {payload.image().size for payload in captures.table["input"]} == {(32, 32)}
    assert set(captures.table["variant"]) == {"AllTraffic"}
