"""The git commit of the checkout, for the registered model's metadata."""

from __future__ import annotations

import subprocess
from pathlib import Path


def code_revision() -> str | None:
    """The commit's hash, with `-dirty` behind it when files differ; None outside of a git checkout."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        dirty = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if dirty else commit


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
