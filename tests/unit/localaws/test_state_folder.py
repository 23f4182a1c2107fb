"""One server a state folder; a dead one's note is not believed."""

import os
import subprocess
import sys
import threading

import pytest

from localaws.state_folder import FolderInUseError, Note, StateFolder


def note(pid: int) -> Note:
    return Note(pid, 1234, "http://127.0.0.1:1234", 1.5)


def test_a_folder_is_held_until_it_is_let_go(tmp_path):
    folder = StateFolder(tmp_path / "new")
    assert folder.holder() is None
    with folder.hold():
        assert folder.holder() == os.getpid()
        with pytest.raises(FolderInUseError, match=str(os.getpid())):
            StateFolder(tmp_path / "new").hold()
    assert folder.holder() is None
    folder.hold().close()


def test_looking_keeps_nobody_from_holding(tmp_path):
    """As `scones local up` looks for the note of the server that it has just started."""
    folder, over = StateFolder(tmp_path), threading.Event()
    folder.hold().close()

    def look() -> None:
        while not over.is_set():
            folder.holder()

    looking = [threading.Thread(target=look) for _ in range(2)]
    for thread in looking:
        thread.start()
    try:
        for _ in range(100):
            folder.hold().close()
    finally:
        over.set()
        for thread in looking:
            thread.join()


def test_the_note_of_a_killed_server_is_not_believed(tmp_path):
    holding = "import os, sys; from pathlib import Path; from localaws.state_folder import *\n"
    holding += "folder = StateFolder(Path(sys.argv[1])); lock = folder.hold()\n"
    holding += "folder.write_note(Note(os.getpid(), 1234, 'u', 1.0)); print('ready', flush=True); input()"
    server = subprocess.Popen(
        [sys.executable, "-c", holding, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    folder = StateFolder(tmp_path)
    assert server.stdout.readline() == "ready\n"
    assert folder.note().pid == server.pid == folder.holder()
    server.kill()
    server.communicate()
    assert folder.holder() is None
    assert folder.note() is None
    assert folder.last_port() == 1234
    with folder.hold():  # the next server, which does not answer yet
        assert folder.note() is None


def test_a_note_is_whole_or_not_there(tmp_path):
    folder = StateFolder(tmp_path)
    with folder.hold():
        folder.write_note(note(os.getpid()))
        assert folder.note() == note(os.getpid())
        folder.remove_note()
        assert folder.note() is None
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize("text", [b"", b"\x8b\xff", b"[]", b"null", b"{", b'{"pid": 1}', b'"abc"'])
def test_a_damaged_note_or_port_counts_as_none(tmp_path, text):
    folder = StateFolder(tmp_path)
    with folder.hold():
        folder.write_note(note(os.getpid()))
        for name in ("server.json", "last-port"):
            (tmp_path / name).write_bytes(text)
        assert folder.note() is None
        assert folder.last_port() is None
        folder.write_note(note(os.getpid()))
        assert folder.note() == note(os.getpid())
        assert folder.last_port() == 1234
