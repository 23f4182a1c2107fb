"""What the models of files from elsewhere share, and the sentence for content that does not fit them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationError

from processing.job import shown

# Strict: no text, and no true or false, which Python counts as 1 and 0.
Probability = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


def first_mistake(error: ValidationError) -> str:
    """Where it is, and what is wrong."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "json_invalid":
        return f"not JSON ({message.removeprefix('invalid JSON: ')})"
    where = shown(".".join(map(str, first["loc"])))
    if first["type"] == "missing":
        return f"{where} is missing"
    return f"{where}: {message}" if where else message
