"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_for(predicate: Callable[[], Found], what: str, seconds: float = 120) -> Found:
    """What `predicate` says as soon as that is true; fails with `what` where it is not so in time."""
    deadline = time.monotonic() + seconds
    while not (found := predicate()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.05)
    return found
