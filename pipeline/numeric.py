"""Numbers of the settings: `true` is none."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def _no_boolean(value: Any) -> Any:
    """Python counts `true` as 1, so pydantic takes it for a number; in a settings file it is a slip."""
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not true or false")
    return value


Integer = Annotated[int, BeforeValidator(_no_boolean)]
Number = Annotated[float, BeforeValidator(_no_boolean)]
