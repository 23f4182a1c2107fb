"""CloudWatch's metric math, as much of it as our alarms use, for one moment of the metrics that it names.

An operand without a datapoint is 0 by AWS's page, or leaves the whole without one: `as_zero` says which.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping

_OPERATORS = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
}


def value(expression: str, metrics: Mapping[str, float | None], as_zero: bool) -> float | None:
    """The expression's datapoint, or None if there is none.

    Args:
        metrics: by their ids; None for no datapoint.

    Raises:
        NotImplementedError: what the expression uses is not understood here.
        KeyError: no metric has a name that it uses.
    """

    def of(node: ast.expr) -> float | None:
        match node:
            case ast.Constant(value=float() | int() as number):
                return number
            case ast.Name(id=name):
                return metrics[name]
            case ast.BinOp(left=left, op=sign, right=right):
                return both(type(sign), of(left), of(right))
            case ast.Compare(left=left, ops=[sign], comparators=[right]):
                return both(type(sign), of(left), of(right))
            case ast.Call(func=ast.Name(id="FILL"), args=[series, filler]):
                found = of(series)
                return of(filler) if found is None else found
            case ast.Call(func=ast.Name(id="IF"), args=[condition, then, other]):
                holds = of(condition)
                return None if holds is None else of(then if holds else other)
        raise NotImplementedError(ast.unparse(node))

    def both(sign: type[ast.AST], left: float | None, right: float | None) -> float | None:
        if as_zero:
            left, right = left or 0, right or 0
        if left is None or right is None or (sign is ast.Div and right == 0):
            return None
        return float(_OPERATORS[sign](left, right))

    return of(ast.parse(expression, mode="eval").body)
