"""SageMaker's documents in SQLite: one row a resource, in the shape its Describe operation answers.

A document is JSON. Members that SageMaker does not show begin with an underscore. Times are epoch seconds
(float), as the JSON 1.1 protocol writes them. Every write is a transaction that is on disk when it returns.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from localaws.database import connect
from localaws.documents import Document

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    parent TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE INDEX IF NOT EXISTS children ON documents (kind, parent, created);
"""


class Store:
    """Documents by kind (`"TrainingJob"`) and name (or ARN), optionally under a parent.

    One connection behind one lock: SQLite writes one at a time anyway, and what we keep is small.

    Attributes:
        changed: a condition that is notified after each write that has reached the disk.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self.changed = threading.Condition()
        self._connection = connect(path, _SCHEMA)
        self._depth = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside are seen together or, after an exception or a kill, not at all."""
        with self._lock:
            outermost = self._depth == 0
            if outermost:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                if outermost:
                    self._connection.execute("ROLLBACK")
                raise
            else:
                if outermost:
                    self._connection.execute("COMMIT")
            finally:
                self._depth -= 1
        if outermost:
            with self.changed:
                self.changed.notify_all()

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Waits until `predicate()` is true, asking again after each write; answers what it said last.

        The predicate may read this store. Call it outside transactions.
        """
        with self.changed:
            return self.changed.wait_for(predicate, timeout)

    def get(self, kind: str, name: str) -> Document | None:
        with self._lock:
            row = self._connection.execute(
                "SELECT document FROM documents WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, kind: str, name: str, document: Document, parent: str = "") -> None:
        """Writes the document, over an older one of that name (whose creation order and parent it keeps)."""
        with self.transaction():
            self._connection.execute(
                "INSERT INTO documents (kind, name, parent, created, document) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (kind, name) DO UPDATE SET document = excluded.document",
                (kind, name, parent, time.time(), json.dumps(document, separators=(",", ":"))),
            )

    def update(self, kind: str, name: str, change: Callable[[Document], None]) -> Document:
        """Reads, lets `change` alter the document, writes: nobody else writes in between.

        Raises KeyError when there is no such document.
        """
        with self.transaction():
            document = self.get(kind, name)
            if document is None:
                raise KeyError((kind, name))
            change(document)
            self.put(kind, name, document)
        return document

    def list(self, kind: str, parent: str | None = None) -> list[Document]:
        """Oldest first; with `parent`, only the documents under it."""
        query, values = "SELECT document FROM documents WHERE kind = ?", [kind]
        if parent is not None:
            query, values = query + " AND parent = ?", [kind, parent]
        with self._lock:
            rows = self._connection.execute(query + " ORDER BY created, rowid", values).fetchall()
        return [json.loads(row[0]) for row in rows]

    def delete(self, kind: str, name: str) -> None:
        with self.transaction():
            self._connection.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name))

    def close(self) -> None:
        with self._lock:
            self._connection.close()
