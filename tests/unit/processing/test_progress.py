"""How a long read shows where it is."""

import io

import pytest

from processing import progress
from processing.progress import Meter, describe


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that is moved by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("done", "total", "seconds", "bar", "text"),
    [
        (0, None, 0, False, "x 0.0 MB, 0.0 MB/s"),
        (5_000_000, None, 2, False, "x 5.0 MB, 2.5 MB/s"),
        (50_000_000, 200_000_000, 10, False, "x 50.0 of 200.0 MB, 5.0 MB/s, 0:30 left"),
        (50_000_000, 200_000_000, 50, False, "x 50.0 of 200.0 MB, 1.0 MB/s, 2:30 left"),
        (
            50_000_000,
            100_000_000,
            10,
            True,
            f"x [{'#' * 12}{' ' * 12}] 50.0 of 100.0 MB, 5.0 MB/s, 0:10 left",
        ),
        (7_000_000, 7_000_000, 1, True, f"x [{'#' * 24}] 7.0 of 7.0 MB, 7.0 MB/s"),
    ],
)
def test_describes(done, total, seconds, bar, text):
    assert describe("x", done, total, seconds, bar) == text


def test_plain_lines_come_seldom_where_there_is_no_terminal(clock):
    out = io.StringIO()
    meter = Meter("reading", 30_000_000, out)
    for _ in range(30):
        clock[0] += 1
        meter.add(1_000_000)
    meter.finish()
    assert out.getvalue().splitlines() == [
        "reading 10.0 of 30.0 MB, 1.0 MB/s, 0:20 left",
        "reading 20.0 of 30.0 MB, 1.0 MB/s, 0:10 left",
        "reading 30.0 of 30.0 MB, 1.0 MB/s",
        "reading 30.0 of 30.0 MB, 1.0 MB/s",
    ]


def test_one_line_is_drawn_over_and_over_in_a_terminal(clock):
    out = Terminal()
    meter = Meter("reading", 1_000_000, out)
    for _ in range(4):
        clock[0] += 0.2
        meter.add(250_000)
    meter.finish()
    assert out.getvalue().count("\r") == 5
    assert out.getvalue().count("\n") == 1
    assert "\x1b[K" in out.getvalue()


def test_a_label_cannot_steer_the_terminal():
    out = Terminal()
    Meter("reading \x1b[31m" + "n" * 5000, out=out).finish()
    assert out.getvalue().startswith("\rreading \\x1b[31mnnn")
    assert len(out.getvalue()) < 1100
