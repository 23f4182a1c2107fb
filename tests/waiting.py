"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_for(
    look: Callable[[], Found], what: str, seconds: float = 120, until: Callable[[Found], object] = bool
) -> Found:
    """What `look` sees as soon as that is true, or as `until` wants it.

    Where that does not come in time, it fails with `what` and with what was seen last.
    """
    deadline = time.monotonic() + seconds
    while not until(found := look()):
        assert time.monotonic() < deadline, f"{what} did not come; last seen: {found}"
        time.sleep(0.05)
    return found
