"""The lines that Lambda writes around an invocation: START, what was printed, END, REPORT."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from localaws.functions.functions import Function
from localaws.functions.worker import Outcome
from localaws.timestamps import iso_milliseconds


def lines(function: Function, request_id: str, outcome: Outcome) -> list[str]:
    """The log events of one invocation, in order."""
    return [
        f"START RequestId: {request_id} Version: {function.version}\n",
        *_printed(outcome.output),
        *_platform_line(request_id, outcome),
        f"END RequestId: {request_id}\n",
        _report(function, request_id, outcome),
    ]


def _printed(output: bytes) -> list[str]:
    text = output.decode(errors="replace")
    # The runtime client ends the lines of a stack trace with a carriage return, to keep it one event.
    return [line.replace("\r", "\n") + "\n" for line in text.split("\n") if line]


def _platform_line(request_id: str, outcome: Outcome) -> list[str]:
    error = outcome.platform_error
    if error is None:
        return []
    if error.status == "timeout":
        return [f"{iso_milliseconds(datetime.now(UTC))} {request_id} {error.reason}\n"]
    return [f"RequestId: {request_id} Error: {error.reason}\n{error.type}\n"]


def _report(function: Function, request_id: str, outcome: Outcome) -> str:
    milliseconds = outcome.duration * 1000
    fields = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {milliseconds:.2f} ms",
        f"Billed Duration: {math.ceil(milliseconds)} ms",
        f"Memory Size: {function.memory} MB",
        f"Max Memory Used: {outcome.memory} MB",
    ]
    if outcome.init_duration is not None:
        fields.append(f"Init Duration: {outcome.init_duration * 1000:.2f} ms")
    if outcome.platform_error is not None:
        fields.append(f"Status: {outcome.platform_error.status}")
        if outcome.platform_error.status == "error":
            fields.append(f"Error Type: {outcome.platform_error.type}")
    return "\t".join(fields) + "\t\n"
