"""The journal: every request that changed what moto holds, in the order it took effect, in SQLite.

moto keeps everything in memory. What it holds outlives the process because each request that changes it is
written here before the client gets its answer, and replayed at the next start under the same seed and moment
(`localaws.determinism`). Large bodies are files beside the database, named by their SHA-256.

A commit survives the death of the process at any moment (SQLite's write-ahead log), as does a body's file,
which gets its name only once it is whole.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from localaws.database import connect

log = logging.getLogger(__name__)

_INLINE_BYTES = 16 << 10
_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    operation TEXT NOT NULL,
    moment REAL NOT NULL,
    seed INTEGER NOT NULL,
    environ TEXT NOT NULL,
    body BLOB,
    body_file TEXT,
    labels TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Entry:
    """One request.

    Attributes:
        number: its place in the order, from `Journal.next_number`.
        moment: when it was answered, epoch seconds.
        environ: the part of the WSGI environment that makes up the request.
        labels: what it is about, such as `Bucket` and `Key`.
    """

    number: int
    service: str
    operation: str
    moment: float
    seed: int
    environ: dict[str, str]
    body: bytes
    labels: dict[str, str]


@dataclass(frozen=True)
class Heading:
    """An entry without its body."""

    number: int
    service: str
    operation: str
    labels: dict[str, str]


class Journal:
    """Appends from any thread; reads at start, before anything is appended."""

    def __init__(self, folder: Path) -> None:
        self._bodies = folder / "bodies"
        self._bodies.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = connect(folder / "journal.sqlite", _SCHEMA)
        last = self._database.execute("SELECT max(number) FROM requests").fetchone()[0]
        self._numbers = itertools.count((last or 0) + 1)

    def next_number(self) -> int:
        """A place in the order, to be taken when a request begins: a stack that takes its time to be made
        comes before the object that somebody put into its bucket meanwhile.
        """
        return next(self._numbers)

    def append(self, entry: Entry) -> None:
        """Writes the entry; it is safe from the process's death on return."""
        inline = len(entry.body) <= _INLINE_BYTES
        values = (
            entry.number,
            entry.service,
            entry.operation,
            entry.moment,
            entry.seed,
            json.dumps(entry.environ, separators=(",", ":")),
            entry.body if inline else None,
            None if inline else self._keep(entry.body),
            json.dumps(entry.labels, separators=(",", ":")),
        )
        with self._lock:
            self._database.execute(
                "INSERT INTO requests "
                "(number, service, operation, moment, seed, environ, body, body_file, labels) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )

    def entries(self) -> Iterator[Entry]:
        """All entries in order, without those whose body's file somebody removed."""
        rows = self._database.execute(
            "SELECT number, service, operation, moment, seed, environ, labels, body, body_file "
            "FROM requests ORDER BY number"
        )
        for number, service, operation, moment, seed, environ, labels, body, file in rows:
            try:
                whole = body if file is None else self._file(file).read_bytes()
            except FileNotFoundError:
                log.error("request %d, %s of %s, is lost: %s is gone", number, operation, service, file)
                continue
            yield Entry(
                number, service, operation, moment, seed, json.loads(environ), whole, json.loads(labels)
            )

    def headings(self) -> Iterator[Heading]:
        """All entries in order, without their bodies."""
        for number, service, operation, labels in self._database.execute(
            "SELECT number, service, operation, labels FROM requests ORDER BY number"
        ):
            yield Heading(number, service, operation, json.loads(labels))

    def body(self, number: int) -> bytes:
        """Of one entry; empty where somebody removed its file, which `entries` leaves out."""
        body, file = self._database.execute(
            "SELECT body, body_file FROM requests WHERE number = ?", (number,)
        ).fetchone()
        try:
            return bytes(body if file is None else self._file(file).read_bytes())
        except FileNotFoundError:
            return b""

    def remove(self, numbers: Iterable[int]) -> None:
        """Drops entries, and then the files of bodies that no entry has any more."""
        with self._lock:
            self._database.execute("BEGIN")
            self._database.executemany(
                "DELETE FROM requests WHERE number = ?", ((number,) for number in numbers)
            )
            self._database.execute("COMMIT")
        kept = {row[0] for row in self._database.execute("SELECT DISTINCT body_file FROM requests")}
        for file in self._bodies.glob("*/*"):
            if file.name not in kept:
                file.unlink()

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _file(self, digest: str) -> Path:
        return self._bodies / digest[:2] / digest

    def _keep(self, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        file = self._file(digest)
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            temporary = file.with_name(f"{digest}.{threading.get_ident()}.new")
            temporary.write_bytes(body)
            os.replace(temporary, file)  # noqa: PTH105 - the idiom's name says that it is atomic
        return digest
