"""Paths into documents: `ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri`, `metrics[0].value`."""

from __future__ import annotations

import re
from typing import Any

Path = tuple[str | int, ...]

_PART = re.compile(
    r"""\.?(?P<name>[^.\[\]'"]+)|\[(?P<index>\d+)\]|\[(?P<quote>['"])(?P<key>.*?)(?P=quote)\]"""
)


class PathError(ValueError):
    """A path that cannot be read, or that leads nowhere in a document."""


def parse(text: str) -> Path:
    """`"A.B['c'][0]"` is `("A", "B", "c", 0)`. A leading `$.` is allowed. Raises PathError."""
    parts: list[str | int] = []
    position = len("$.") if text.startswith("$.") else len("$") if text.startswith("$[") else 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None or (match["name"] is not None and bool(parts) != match[0].startswith(".")):
            raise PathError(f"{text!r} is no path: it cannot be read from character {position + 1} on.")
        if match["index"] is not None:
            parts.append(int(match["index"]))
        else:
            parts.append(match["name"] if match["name"] is not None else match["key"])
        position = match.end()
    if not parts:
        raise PathError("An empty path names nothing.")
    return tuple(parts)


def look_up(document: Any, path: Path) -> Any:
    """The value at the path.

    A list may be indexed by a text: then the item is meant whose own name it is, such as the output whose
    `OutputName` is `train`. Raises PathError, which says how far the path leads.
    """
    value = document
    for position, part in enumerate(path):
        try:
            value = _step(value, part)
        except LookupError:
            found = f"nothing at {show(path[: position + 1])!r}"
            raise PathError(f"There is {found}; {_what_is_there(value)}") from None
    return value


def show(path: Path) -> str:
    """The path as text again."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.search(r"[.\[\]'\"]", part):
            text += f"['{part}']"
        else:
            text += f".{part}" if text else part
    return text


def _step(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value[str(part)]
    if isinstance(value, list) and isinstance(part, int):
        return value[part]
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict) and part in (
                text for key, text in item.items() if key.endswith("Name")
            ):
                return item
    raise LookupError(part)


def _what_is_there(value: Any) -> str:
    if isinstance(value, dict):
        return f"there is: {', '.join(value) or 'an empty object'}."
    if isinstance(value, list):
        names = [
            text
            for item in value
            if isinstance(item, dict)
            for key, text in item.items()
            if key.endswith("Name")
        ]
        return f"there are {len(value)} items{': ' + ', '.join(map(str, names)) if names else ''}."
    return f"there is a {type(value).__name__}."
