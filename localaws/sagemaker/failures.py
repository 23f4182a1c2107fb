"""A failed job's reason, in SageMaker's wording, with the job's own last error in it."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

# FailureReason and ExitMessage have at most 1,024 characters; of a longer text the last line is worth most.
LIMIT = 1024
_LINES = 400
_TRACEBACK = "Traceback (most recent call last):"
# `ValueError: …`, `module.Error`, `socket.timeout`; not a line of source whose indentation a driver stripped.
_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*|error|timeout)(?::\s.*)?$")
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

    def line(self) -> str:
        """The last exception's line, else the log's last; empty when nothing was logged."""
        candidates = [*_exceptions(list(self._lines)), *reversed(self._lines)]
        return next((line.strip() for line in candidates if not line.startswith(_WRAPPERS)), "")

    def exception(self) -> str:
        """The last exception's line; empty when no traceback was logged."""
        return next((line for line in _exceptions(list(self._lines)) if not line.startswith(_WRAPPERS)), "")


def _exceptions(lines: list[str]) -> list[str]:
    """The line of each traceback that names the exception, the last traceback's first."""
    found = []
    for index, line in enumerate(lines):
        if _TRACEBACK not in line:
            continue
        rest = lines[index + 1 :]
        found.append(next((text for text in rest if _EXCEPTION.match(text)), ""))
    return [line for line in reversed(found) if line]


def algorithm_error(message: str, exit_code: int, log: LastError) -> str:
    """`AlgorithmError: …, exit code: 1`.

    Args:
        message: what the job wrote into its failure or message file; may be empty. An exception in its log
            is added where the message does not hold it.
    """
    tail = f", exit code: {exit_code}"
    message = message.strip()
    if message and log.exception() not in message:
        tail += f" (last error in its log: {log.exception()})"
    tail = _shorten(tail, LIMIT // 2)
    head = f"AlgorithmError: {message or log.line() or 'See job logs for more information'}"
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
