"""Which of an endpoint's records a report is about."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from monitoring.capture import COLUMNS, CaptureError, Captures
from pipeline import monitor, predictions

ENDPOINT = "scones-1"


@pytest.fixture
def captured(monkeypatch, clients, settings):
    """Takes when the endpoint's config was made, and gives the times of the records that are looked at."""

    def times(made: datetime, since: datetime | None = None) -> list[str]:
        moments = pd.to_datetime(["2026-02-03T04:00:00Z", "2026-02-03T05:00:00Z", "2026-02-03T06:00:00Z"])
        ids = [None, None, predictions.SMOKE_TEST]
        rows = [
            dict.fromkeys(COLUMNS) | {"time": t, "inference_id": i} for t, i in zip(moments, ids, strict=True)
        ]
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        monkeypatch.setattr(monitor, "read_captures", lambda *_, **__: Captures(table, 1, (), ("a", "b")))
        monkeypatch.setattr(predictions, "deployed_classes", lambda *_: ("a", "b"))
        monkeypatch.setattr(predictions, "deployed_at", lambda *_: made)
        found = monitor.captures(clients, settings, ENDPOINT, since)
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
    with pytest.raises(
        CaptureError, match="none of the 2 records of scones-1 is of the package that it serves"
    ):
        captured(datetime(2026, 2, 3, 5, 30, tzinfo=UTC))
