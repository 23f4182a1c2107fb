"""Files that commands write: whole, or not at all."""

from __future__ import annotations

from pathlib import Path

from processing.outputs import write_files


def write(path: Path, content: bytes | str) -> None:
    """Over an older file only once the new one is written; text is UTF-8. Makes folders.

    Raises `OSError` with the path, or `OutputError` where a file is in the way of a folder.
    """
    write_files(path.parent, {path.name: content.encode() if isinstance(content, str) else content})
