"""The state folder of a stack: its lock, and the note that says where its server listens."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path

_LOOK_SECONDS = 2.0


class FolderInUseError(Exception):
    """Another server holds the state folder."""


@dataclass(frozen=True)
class Note:
    """What `server.json` says: written once the server answers, removed when it stops.

    Attributes:
        started: epoch seconds.
    """

    pid: int
    port: int
    endpoint_url: str
    started: float


class StateFolder:
    """Paths in a state folder, and who holds it. The kernel lets go of a lock when its holder dies."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.log = self.root / "server.log"
        self._note = self.root / "server.json"
        self._port = self.root / "last-port"
        self._lock = self.root / "server.lock"

    def make(self) -> None:
        """Makes the folder, for its owner only: uploads and secrets are in it as they came."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def hold(self) -> TextIOWrapper:
        """Locks the folder for this process until the returned file is closed.

        Raises FolderInUseError when another server holds it.
        """
        self.make()
        file = self._lock.open("a+", encoding="ascii")
        deadline = time.monotonic() + _LOOK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                pid = self.holder()
                if pid is None and time.monotonic() < deadline:  # somebody only looks, as `holder` does
                    time.sleep(0.001)
                    continue
                file.close()
                raise FolderInUseError(
                    f"The state folder {self.root} is in use by a local AWS with process id {pid}."
                ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file

    def holder(self) -> int | None:
        """The process id of the server that holds the folder, also while it starts; None if nobody does."""
        try:
            file = self._lock.open("r", encoding="ascii")
        except FileNotFoundError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
        return None

    def note(self) -> Note | None:
        """Where the server that holds the folder now listens; None while it starts, or if there is none.

        A damaged note counts as none: the server that starts next writes its own.
        """
        pid = self.holder()
        try:
            note = Note(**json.loads(self._note.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):  # not there; not JSON or not text; other keys
            return None
        return note if note.pid == pid else None

    def write_note(self, note: Note) -> None:
        _replace(self._port, str(note.port))
        _replace(self._note, json.dumps(asdict(note), indent=1))

    def remove_note(self) -> None:
        self._note.unlink(missing_ok=True)

    def last_port(self) -> int | None:
        """The port of the last server, so that a restart keeps the endpoint URL that people exported."""
        try:
            port = int(self._port.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return port if 0 < port < 65_536 else None


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text)
    temporary.replace(path)
