"""Conditions: Equals, GreaterThan, LessThan (each with OrEqualTo), In, Not, Or; a list is their AND."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from localaws.documents import Document
from localaws.sagemaker.engine.expressions import ExpressionError, Scope, evaluate
from localaws.sagemaker.engine.parameters import to_text

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}


def holds(condition: Document, scope: Scope) -> bool:
    """Is the condition true? Raises ExpressionError where its values cannot be had or compared."""
    kind = condition["Type"]
    if kind == "Not":
        return not holds(condition["Condition"], scope)
    if kind == "Or":
        return any(holds(each, scope) for each in condition["Conditions"])
    if kind == "In":
        value = evaluate(condition["QueryValue"], scope)
        return any(_equal(value, evaluate(each, scope)) for each in condition["Values"])
    left, right = evaluate(condition["LeftValue"], scope), evaluate(condition["RightValue"], scope)
    if kind == "Equals":
        return _equal(left, right)
    if _kind(left) != _kind(right) or _kind(left) not in ("number", "text"):
        raise ExpressionError(
            f"{kind} compares two numbers or two texts, not {_show(left)} and {_show(right)}."
        )
    return _ORDER[kind](left, right)


def all_hold(conditions: list[Document], scope: Scope) -> bool:
    return all(holds(condition, scope) for condition in conditions)


def _equal(left: Any, right: Any) -> bool:
    return _kind(left) == _kind(right) and bool(left == right)


def _kind(value: Any) -> str:
    # A Python True equals 1; a boolean in a pipeline equals no number.
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def _show(value: Any) -> str:
    return f"the {_kind(value)} {to_text(value)[:100]}"
