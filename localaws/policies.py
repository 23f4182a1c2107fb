"""IAM policies evaluated: what a set of statements says of one request.

The logic is IAM's within one account: a deny that matches decides, then an allow, else nothing is allowed.
moto's own evaluation takes a statement whose condition does not hold for a denial, so that a bucket policy
that denies what comes without TLS denies everything.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from localaws.documents import Document

Context = Mapping[str, str]


class Decision(Enum):
    ALLOWED = "allowed"
    DENIED = "explicitly denied"
    NEITHER = "not allowed"


class UnknownOperatorError(Exception):
    """A condition operator that is not evaluated here."""


def statements(policy: str | Document) -> list[Document]:
    document = json.loads(policy) if isinstance(policy, str) else policy
    found = document.get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)


def decide(rules: Iterable[Document], action: str, resource: str, context: Context) -> Decision:
    """What the statements say of an action on a resource's ARN; `context` has the condition keys' values."""
    decision = Decision.NEITHER
    for rule in rules:
        if applies(rule, action, resource, context):
            if rule["Effect"] == "Deny":
                return Decision.DENIED
            decision = Decision.ALLOWED
    return decision


def applies(rule: Document, action: str, resource: str, context: Context) -> bool:
    """Whether a statement is about this request. Principals are not looked at."""
    return (
        _concerns(rule, "Action", action.lower(), str.lower)
        and _concerns(rule, "Resource", resource, str)
        and all(
            _holds(operator, key, _many(values), context)
            for operator, keys in (rule.get("Condition") or {}).items()
            for key, values in keys.items()
        )
    )


def _concerns(rule: Document, element: str, value: str, fold: Any) -> bool:
    if f"Not{element}" in rule:
        return not any(matches(fold(pattern), value) for pattern in _many(rule[f"Not{element}"]))
    return any(matches(fold(pattern), value) for pattern in _many(rule.get(element, [])))


def matches(pattern: str, value: str) -> bool:
    """IAM's wildcards: `*` any characters, `?` one; everything else stands for itself."""
    return bool(_compiled(pattern).match(value))


@lru_cache(1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def _holds(operator: str, key: str, wanted: list[str], context: Context) -> bool:
    values = {name.lower(): value for name, value in context.items()}
    actual = values.get(key.lower())
    plain = operator.removeprefix("ForAnyValue:").removeprefix("ForAllValues:")
    if plain.endswith("IfExists"):
        if actual is None:
            return True
        plain = plain.removesuffix("IfExists")
    if plain == "Null":
        return (actual is None) == (wanted[0].lower() == "true")
    negated = "Not" in plain
    compare = _OPERATORS.get(plain.replace("Not", ""))
    if compare is None:
        raise UnknownOperatorError(f"the condition operator {operator} is not evaluated here")
    if actual is None:
        return negated or operator.startswith("ForAllValues:")
    return any(compare(item, actual) for item in wanted) != negated


def _same_text(wanted: str, actual: str) -> bool:
    return wanted == actual


def _same_folded(wanted: str, actual: str) -> bool:
    return wanted.lower() == actual.lower()


_OPERATORS = {
    "StringEquals": _same_text,
    "StringEqualsIgnoreCase": _same_folded,
    "StringLike": matches,
    "ArnEquals": matches,
    "ArnLike": matches,
    "Bool": _same_folded,
    "NumericEquals": lambda wanted, actual: float(wanted) == float(actual),
    "NumericLessThan": lambda wanted, actual: float(actual) < float(wanted),
    "NumericGreaterThan": lambda wanted, actual: float(actual) > float(wanted),
}


def _many(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in values]
