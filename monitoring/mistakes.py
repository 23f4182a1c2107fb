"""What is wrong with a file's content, for the sentence that says so."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError


def first_mistake(error: ValidationError) -> str:
    """Where it is, and what is wrong."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "json_invalid":
        return f"not JSON ({message.removeprefix('invalid JSON: ')})"
    where = printable(".".join(map(str, first["loc"])))
    if first["type"] == "missing":
        return f"{where} is missing"
    return f"{where}: {message}" if where else message


def printable(text: str) -> str:
    """On one line, without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not true or false")
    return value


Probability = Annotated[float, BeforeValidator(_no_flag), Field(ge=0, le=1, allow_inf_nan=False)]
