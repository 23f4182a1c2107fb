"""A failed job's reason, in SageMaker's wording, with the job's own last error in it."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

# FailureReason and ExitMessage have at most 1,024 characters; of a longer text the last line is worth most.
LIMIT = 1024
_LINES = 400
_TRACEBACK = "Traceback (most recent call last):"
# What wrappers around a failed script say of it: true, but not why.
_WRAPPERS = (
    "subprocess.CalledProcessError",
    "An error occurred with exit code",
    "Terminated",
    "Killed",
    "+ ",
)


class LastError:
    """Watches a log for the line that says why the job fails: an exception's, or just the last one."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_LINES)

    def read(self, line: str) -> None:
        if line.strip():
            self._lines.append(line.rstrip())

    def text(self) -> str:
        """Empty when nothing was logged."""
        candidates = [*_exceptions(list(self._lines)), *reversed(self._lines)]
        own = [line for line in candidates if not line.startswith(_WRAPPERS)]
        return next(iter(own or candidates), "").strip()


def _exceptions(lines: list[str]) -> list[str]:
    """The line of each traceback that names the exception, the last traceback's first."""
    found = []
    for index, line in enumerate(lines):
        if _TRACEBACK not in line:
            continue
        rest = lines[index + 1 :]
        found.append(next((text for text in rest if re.match(r"[A-Za-z_]", text)), ""))
    return [line for line in reversed(found) if line]


def algorithm_error(message: str, exit_code: int, last_error: str) -> str:
    """`AlgorithmError: …, exit code: 1`.

    Args:
        message: what the job wrote into its failure or message file; may be empty.
        last_error: the last error in its log, added where the message does not hold it.
    """
    message = message.strip()
    tail = f", exit code: {exit_code}"
    if message and last_error and last_error not in message:
        tail += f" (last error in its log: {last_error})"
    tail = _shorten(tail, LIMIT // 2)
    head = f"AlgorithmError: {message or last_error or 'See job logs for more information'}"
    return head[: LIMIT - len(tail)] + tail


def read_message(path: Path) -> str:
    """A failure or message file as a job left it; empty where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(4 * LIMIT).decode("utf-8", "replace").strip()[:LIMIT]
    except (FileNotFoundError, IsADirectoryError):
        return ""


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 2] + "…)"
