"""Files that commands write: whole, or not at all."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, content: bytes | str) -> None:
    """Over an older file only once the new one is written; text is UTF-8. Makes folders. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.new")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
