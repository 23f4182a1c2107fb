"""Is an answer one that AWS could have given? Checks it against the operation's output shape."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

import botocore.session

_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (datetime, int, float),
}


def assert_answer(service: str, operation: str, answer: dict[str, Any]) -> None:
    """Fails on unknown, missing, empty or wrongly typed members, and on values outside their enum.

    Takes an answer as boto3 gives it or as it is on the wire.
    """
    model = _service_model(service).operation_model(operation)
    answer = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    if model.output_shape is None:
        assert answer == {}, f"{operation} answers nothing, not {answer}"
        return
    problems = list(_check(answer, model.output_shape, operation))
    assert not problems, "\n".join(problems)


@cache
def _service_model(service: str) -> Any:
    """Loading SageMaker's model takes a tenth of a second, too long for each of thousands of answers."""
    return botocore.session.get_session().get_service_model(service)


def _check(value: Any, shape: Any, path: str) -> Any:
    kind = shape.type_name
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{path} is a {type(value).__name__}, not a {kind}"
    elif kind == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                yield f"{path}.{name} is missing"
        for name, item in value.items():
            if name not in shape.members:
                yield f"{path}.{name} is unknown"
            elif item == {} and shape.members[name].type_name == "structure":
                yield f"{path}.{name} is an empty structure; AWS leaves it out"
            else:
                yield from _check(item, shape.members[name], f"{path}.{name}")
    elif kind == "list":
        for index, item in enumerate(value):
            yield from _check(item, shape.member, f"{path}[{index}]")
    elif kind == "map":
        for key, item in value.items():
            yield from _check(item, shape.value, f"{path}[{key!r}]")
    elif kind == "string" and shape.enum and value not in shape.enum:
        yield f"{path} is {value!r}, not one of {shape.enum}"
