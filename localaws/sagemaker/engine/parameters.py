"""Pipeline parameters: what a definition declares, and the values that an execution is started with."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localaws.sagemaker.errors import ValidationError

Value = str | int | float | bool

TYPES = ("String", "Integer", "Float", "Boolean")
_PYTHON: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (int, float),
    "Boolean": (bool,),
}


@dataclass(frozen=True)
class Parameter:
    """A declared parameter; `default` is None where a value must be given."""

    name: str
    type: str
    default: Value | None = None
    allowed: tuple[Value, ...] | None = None

    @classmethod
    def read(cls, document: dict[str, Any]) -> Parameter:
        """From the definition's JSON. Raises ValidationError."""
        name, kind = document.get("Name"), document.get("Type")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9\-_]{1,256}", name):
            raise ValidationError(
                f"Parameter {name!r}: its name must have 1 to 256 letters, digits, '-' or '_'."
            )
        if kind not in TYPES:
            raise ValidationError(
                f"Parameter {name!r}: Type must be one of {', '.join(TYPES)}, not {kind!r}."
            )
        allowed = document.get("EnumValues")
        if not isinstance(allowed, list | None):
            raise ValidationError(f"Parameter {name!r}: EnumValues must be a list, not {allowed!r}.")
        parameter = cls(name, kind, document.get("DefaultValue"), tuple(allowed) if allowed else None)
        for value in (parameter.default, *(parameter.allowed or ())):
            if value is not None and not _has_type(value, kind):
                raise ValidationError(f"Parameter {name!r}: {value!r} is not of its type, {kind}.")
        if parameter.default is not None:
            parameter.check(parameter.default)
        return parameter

    def parse(self, text: str) -> Value:
        """The value that a text stands for in this parameter's type. Raises ValidationError."""
        try:
            value = _PARSERS[self.type](text)
        except ValueError:
            raise ValidationError(
                f"Parameter {self.name!r} takes a value of type {self.type}, not {text!r}."
            ) from None
        self.check(value)
        return value

    def check(self, value: Value) -> None:
        if self.allowed is not None and value not in self.allowed:
            choices = ", ".join(map(to_text, self.allowed))
            raise ValidationError(f"Parameter {self.name!r}: {to_text(value)} is not one of {choices}.")


def values_for(declared: Mapping[str, Parameter], given: list[dict[str, str]]) -> dict[str, Value]:
    """Each declared parameter's value in an execution started with `given`. Raises ValidationError."""
    texts = {each["Name"]: each["Value"] for each in given}
    unknown = [name for name in texts if name not in declared]
    if unknown:
        has = f"it has {', '.join(declared)}" if declared else "it has none"
        raise ValidationError(f"Unknown pipeline parameter {', '.join(unknown)}; {has}.")
    if len(texts) < len(given):
        raise ValidationError("PipelineParameters: each parameter may be given once only.")
    values: dict[str, Value] = {}
    for name, parameter in declared.items():
        if name in texts:
            values[name] = parameter.parse(texts[name])
        elif parameter.default is not None:
            values[name] = parameter.default
        else:
            raise ValidationError(f"Parameter {name!r} has no default value, so a value must be given.")
    return values


def to_text(value: Any) -> str:
    """A value as pipelines write it into a text: JSON's notation, but texts bare."""
    return value if isinstance(value, str) else json.dumps(value)


def from_text(text: str, kind: str) -> Value:
    """The value of a type that a text stands for. Raises ValueError."""
    return _PARSERS[kind](text)


def _has_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "Boolean"
    return isinstance(value, _PYTHON[kind])


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text):
        raise ValueError(text)
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


_PARSERS: dict[str, Any] = {"String": str, "Integer": _integer, "Float": _float, "Boolean": _boolean}
