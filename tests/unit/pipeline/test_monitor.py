"""Which of an endpoint's records a report is about."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from monitoring.capture import CaptureError, NoLaterCaptureError, read_captures
from pipeline import monitor, predictions

ENDPOINT = "scones-1"


def record(time: str, inference_id: str | None) -> str:
    answer = {"observedContentType": "application/json", "data": "[0.5, 0.5]", "encoding": "JSON"}
    metadata = {"eventId": "e", "inferenceTime": time, "inferenceId": inference_id}
    return json.dumps({"captureData": {"endpointOutput": answer}, "eventMetadata": metadata}) + "\n"


@pytest.fixture
def captured(monkeypatch, clients, settings, tmp_path):
    """Takes when the endpoint's config was made, and gives the times of the records that are looked at."""

    def times(made: datetime, since: datetime | None = None) -> list[str]:
        ids = {"04": None, "05": None, "06": predictions.SMOKE_TEST}
        lines = [record(f"2026-02-03T{hour}:00:00Z", inference_id) for hour, inference_id in ids.items()]
        path = tmp_path / "records.jsonl"
        path.write_text("".join(lines))
        monkeypatch.setattr(
            monitor, "read_captures", lambda _uri, **options: read_captures(path, **options | {"s3": None})
        )
        package = {"CustomerMetadataProperties": {"classes": "a b"}}
        found = monitor.captures(clients, settings, predictions.Deployed(ENDPOINT, package, made), since)
        return [f"{time:%H:%M}" for time in found.table["time"]]

    return times


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (datetime(2026, 2, 3, 3, tzinfo=UTC), ["04:00", "05:00"]),
        (datetime(2026, 2, 3, 4, 0, 0, 999, tzinfo=UTC), ["04:00", "05:00"]),  # records have whole seconds
        (datetime(2026, 2, 3, 4, 30, tzinfo=UTC), ["05:00"]),
    ],
)
def test_what_an_earlier_package_answered_is_left_out(captured, made, expected):
    assert captured(made) == expected


def test_a_time_that_is_given_stands_above_the_deployments(captured):
    made = datetime(2026, 2, 3, 5, 30, tzinfo=UTC)
    assert captured(made, datetime(2026, 2, 3, 4, 30, tzinfo=UTC)) == ["05:00"]


def test_no_record_of_the_package_is_told(captured):
    with pytest.raises(CaptureError, match="no record of scones-1 is of the package that it serves now"):
        captured(datetime(2026, 2, 3, 6, 30, tzinfo=UTC))


def test_requests_of_our_own_are_no_traffic(captured):
    with pytest.raises(
        CaptureError, match="nobody has asked scones-1 since 2026-02-03 05:30:00 UTC but this"
    ):
        captured(datetime(2026, 2, 3, 5, 30, tzinfo=UTC))


def test_no_record_since_the_given_time_is_told(captured):
    with pytest.raises(NoLaterCaptureError, match=r"no record since 2026-02-03 06:30:00 UTC"):
        captured(datetime(2026, 2, 3, 4, tzinfo=UTC), datetime(2026, 2, 3, 6, 30, tzinfo=UTC))


@pytest.mark.parametrize(("deployed", "begins"), [(timedelta(hours=9), 2), (timedelta(hours=1), 1)])
def test_the_last_hours_end_where_the_package_began(deployed, begins):
    now = datetime.now(UTC)
    found = monitor.last_hours(predictions.Deployed(ENDPOINT, None, now - deployed), 2)
    assert (now - found).total_seconds() == pytest.approx(begins * 3600, abs=60)
