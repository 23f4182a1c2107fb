from __future__ import annotations

from localaws.functions import report
from localaws.functions.functions import Function
from localaws.functions.worker import Outcome, PlatformError

FUNCTION = Function(
    name="f",
    version="3",
    handler="handler.lambda_handler",
    runtime="python3.13",
    role="arn:aws:iam::123456789012:role/f",
    environment=(),
    timeout=3,
    memory=128,
    code_sha256="",
    concurrency=None,
    async_retries=2,
    on_failure=None,
    arn="",
    code=b"",
)


def outcome(**changes):
    values = {
        "payload": b"{}",
        "failed": False,
        "platform_error": None,
        "output": b"one\ntwo\r  and its trace\n",
        "duration": 0.00123,
        "init_duration": None,
        "memory": 40,
    }
    return Outcome(**values | changes)


def test_lines_around_an_invocation():
    assert report.lines(FUNCTION, "r-1", outcome()) == [
        "START RequestId: r-1 Version: 3\n",
        "one\n",
        "two\n  and its trace\n",
        "END RequestId: r-1\n",
        "REPORT RequestId: r-1\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 40 MB\t\n",
    ]


def test_a_timeout_and_a_cold_start_are_told():
    error = PlatformError("timeout", "Sandbox.Timedout", "Task timed out after 3.00 seconds")
    lines = report.lines(FUNCTION, "r-1", outcome(platform_error=error, output=b"", init_duration=0.1))
    assert lines[1].endswith(" r-1 Task timed out after 3.00 seconds\n")
    assert lines[-1].endswith("Init Duration: 100.00 ms\tStatus: timeout\t\n")
