"""Is a request one that SageMaker would take? Types, required members, enums, patterns, lengths and ranges.

botocore's own validator knows neither enums, patterns nor maximum lengths, which the service does check. The
constraints are those of botocore's service model; the wording is that of AWS's services.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.model import OperationModel

from localaws.sagemaker.errors import SageMakerError, ValidationError

# The wire's types (JSON 1.1) for the model's.
_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list, tuple),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}

# Java's classes of characters, as near as Python's `re` has them; `\w` is letters, digits and the underscore.
_CLASSES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\d",
    r"\p{M}": r"\u0300-\u036f",
    r"\p{Z}": r"\s",
    r"\p{P}": r"!-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u2027\u2030-\u205e",
    r"\p{S}": r"$+<=>^`|~\u00a2-\u00b4\u2190-\u23ff\u2500-\u27bf",
    r"\p{Alnum}": "a-zA-Z0-9",
}


class SerializationError(SageMakerError):
    """A member has another type than the service model says."""

    code = "SerializationException"


def check_request(operation: OperationModel, request: dict[str, Any]) -> None:
    """Raises SerializationError for a wrong type, ValidationError for all constraints that are not met."""
    if operation.input_shape is None:
        return
    problems = list(_check(request, operation.input_shape, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise ValidationError(count + "; ".join(problems))


def _check(value: Any, shape: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    _check_type(value, kind, path)
    if kind == "structure":
        yield from _check_structure(value, shape, path)
    elif kind == "list":
        yield from _check_size(len(value), value, shape, path)
        for index, item in enumerate(value, start=1):
            yield from _check(item, shape.member, f"{path}.{index}.member")
    elif kind == "map":
        yield from _check_size(len(value), value, shape, path)
        for key, item in value.items():
            yield from _check(key, shape.key, f"{path}.{key}.key")
            yield from _check(item, shape.value, f"{path}.{key}.member")
    elif kind == "string":
        yield from _check_string(value, shape, path)
    elif kind in ("integer", "long", "float", "double"):
        yield from _check_range(value, shape, path)


def _check_type(value: Any, kind: str, path: str) -> None:
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        found = type(value).__name__
        raise SerializationError(f"{path or 'The request'} must be a JSON {_wire_name(kind)}, not {found}.")


def _check_structure(value: dict[str, Any], shape: Any, path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield _failed("null", _join(path, name), "Member must not be null")
    for name, item in value.items():
        if name not in shape.members:
            known = ", ".join(shape.members) or "none"
            yield f"Member '{_join(path, name)}' is unknown; {shape.name} has: {known}"
        elif item is not None:
            yield from _check(item, shape.members[name], _join(path, name))
    if shape.is_tagged_union and len([item for item in value.values() if item is not None]) != 1:
        yield _failed(_quote(value), path, f"Member must have exactly one of {', '.join(shape.members)}")


def _check_string(value: str, shape: Any, path: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        allowed = ", ".join(shape.enum)
        yield _failed(_quote(value), path, f"Member must satisfy enum value set: [{allowed}]")
    yield from _check_size(len(value), value, shape, path)
    pattern = shape.metadata.get("pattern")
    if pattern and not _pattern(pattern).fullmatch(value):
        yield _failed(_quote(value), path, f"Member must satisfy regular expression pattern: {pattern}")


def _check_size(size: int, value: Any, shape: Any, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        yield _failed(_quote(value), path, f"Member must have length greater than or equal to {low}")
    if high is not None and size > high:
        yield _failed(_quote(value), path, f"Member must have length less than or equal to {high}")


def _check_range(value: float, shape: Any, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and value < low:
        yield _failed(_quote(value), path, f"Member must have value greater than or equal to {low}")
    if high is not None and value > high:
        yield _failed(_quote(value), path, f"Member must have value less than or equal to {high}")


@cache
def _pattern(text: str) -> re.Pattern[str]:
    text = re.sub(r"\$\{(\d+),(\d+)\}$", r"{\1,\2}", text)  # the model's tag patterns: `(…)${1,128}`
    # Java counts in surrogates, Python in characters.
    text = text.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    for java, python in _CLASSES.items():
        text = text.replace(java, python)
    return re.compile(text)


def _failed(value: str, path: str, constraint: str) -> str:
    return f"Value {value} at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    """AWS writes the way to a member as its Java beans spell it: `inputDataConfig.1.member.channelName`."""
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


def _quote(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"'{text if len(text) <= 256 else text[:253] + '...'}'"


def _wire_name(kind: str) -> str:
    if kind in ("structure", "map"):
        return "object"
    if kind == "list":
        return "array"
    return kind if kind in ("string", "boolean") else "number"
