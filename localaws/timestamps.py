"""Times as AWS writes them in JSON that is for reading."""

from __future__ import annotations

from datetime import UTC, datetime


def iso_milliseconds(moment: datetime) -> str:
    """`2026-01-31T12:00:00.000Z`; `moment` has a time zone."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
