"""Step Functions executions in SQLite, so that they are remembered after the process that ran them."""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from localaws.database import connect

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html: history is kept for 90 days.
RETENTION_SECONDS = 90 * 86_400
RUNNING = "RUNNING"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS executions (
    arn TEXT PRIMARY KEY,
    machine TEXT NOT NULL,
    started REAL NOT NULL,
    status TEXT NOT NULL,
    record TEXT NOT NULL,
    course BLOB
);
CREATE INDEX IF NOT EXISTS of_machine ON executions (machine);
"""


@dataclass(frozen=True)
class Record:
    """An execution as DescribeExecution tells it.

    Attributes:
        machine: the ARN that it was started by, of a state machine or a version of one.
        input: JSON text.
        started: epoch seconds, as is `stopped`.
        output: JSON text of a succeeded one.
    """

    arn: str
    name: str
    machine: str
    kind: str
    role: str
    input: str
    started: float
    status: str = RUNNING
    stopped: float | None = None
    output: str | None = None
    error: str | None = None
    cause: str | None = None


@dataclass(frozen=True)
class Course:
    """What happened in an execution: its history's events, and its map runs as described and as listed."""

    events: list[dict[str, Any]]
    map_runs: list[dict[str, dict[str, Any]]]


class ExecutionStore:
    """Records of executions; each write is safe from the process's death when it returns."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = connect(path, _SCHEMA)
        self._database.execute("DELETE FROM executions WHERE started < ?", (time.time() - RETENTION_SECONDS,))

    def put(self, record: Record, course: Course | None = None) -> None:
        """Writes an execution that starts, or over it when it has ended."""
        packed = None if course is None else zlib.compress(_to_json(asdict(course)).encode(), 1)
        with self._lock:
            self._database.execute(
                "INSERT INTO executions (arn, machine, started, status, record, course) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (arn) DO UPDATE SET "
                "status = excluded.status, record = excluded.record, course = excluded.course",
                (record.arn, record.machine, record.started, record.status, _to_json(asdict(record)), packed),
            )

    def records(self) -> Iterator[Record]:
        """All of them, oldest first."""
        with self._lock:
            rows = self._database.execute("SELECT record FROM executions ORDER BY started").fetchall()
        for (record,) in rows:
            yield Record(**json.loads(record))

    def course(self, arn: str) -> Course:
        """What happened in an execution; nothing for one that was cut off before that could be written."""
        with self._lock:
            row = self._database.execute("SELECT course FROM executions WHERE arn = ?", (arn,)).fetchone()
        if row is None or row[0] is None:
            return Course([], [])
        return Course(**_from_json(zlib.decompress(row[0]).decode()))

    def forget(self, machine: str) -> None:
        """Drops the executions of a state machine that is deleted, and of its versions."""
        with self._lock:
            self._database.execute(
                "DELETE FROM executions WHERE machine = ? OR substr(machine, 1, ?) = ?",
                (machine, len(machine) + 1, machine + ":"),
            )

    def close(self) -> None:
        with self._lock:
            self._database.close()


_TIME = "$time"


def _to_json(value: Any) -> str:
    def other(value: Any) -> Any:
        if isinstance(value, datetime):
            return {_TIME: value.timestamp()}
        raise TypeError(f"a history holds {value!r}")

    return json.dumps(value, separators=(",", ":"), default=other)


def _from_json(text: str) -> Any:
    def other(value: dict[str, Any]) -> Any:
        return datetime.fromtimestamp(value[_TIME]).astimezone() if value.keys() == {_TIME} else value

    return json.loads(text, object_hook=other)
