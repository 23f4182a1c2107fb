"""The members that a step has beside its arguments: their types and limits.

Sources: the definition's JSON schema, and https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from localaws.documents import Document

Text = Annotated[str, Field(min_length=1)]
TextOrExpression = Text | Document

SERVICE_FAULT = "Step.SERVICE_FAULT"
THROTTLING = "Step.THROTTLING"
JOB_INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"
CAPACITY_ERROR = "SageMaker.CAPACITY_ERROR"
RESOURCE_LIMIT = "SageMaker.RESOURCE_LIMIT"
ExceptionType = Literal[
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
]

_DURATION = re.compile(
    r"P?(?=.)(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?",
    re.IGNORECASE,
)


def duration(text: str) -> timedelta:
    """An ISO 8601 duration, with or without its `P`, such as `P30D`, `PT1H` or `30dT5h`. Raises ValueError.

    A year counts 365 days and a month 30.
    """
    match = _DURATION.fullmatch(text)
    if match is None or len(text) > 50:
        raise ValueError(f"{text!r} is no duration such as P30D or PT1H.")
    part = {name: int(value or 0) for name, value in match.groupdict().items()}
    days = 365 * part["years"] + 30 * part["months"] + 7 * part["weeks"] + part["days"]
    try:
        return timedelta(days=days, hours=part["hours"], minutes=part["minutes"], seconds=part["seconds"])
    except OverflowError:
        raise ValueError(f"{text!r} is too long a duration.") from None


def shape_problems(step: Document) -> Iterator[str]:
    """What is wrong with a step's members, each with the way to it."""
    try:
        (_SHAPES.get(str(step.get("Type"))) or _Step).model_validate(step)
    except ValidationError as error:
        for each in error.errors():
            where = ".".join(str(part) for part in each["loc"] if not str(part).startswith("constrained"))
            yield f"{where}: {each['msg'].removeprefix('Value error, ')}."


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True)


class _PropertyFile(_Shape):
    PropertyFileName: Text
    OutputName: Text
    FilePath: Text


class _CacheConfig(_Shape):
    Enabled: bool = False
    ExpireAfter: str | None = None

    @model_validator(mode="after")
    def _has_a_lifetime(self) -> _CacheConfig:
        if self.Enabled:
            duration(self.ExpireAfter or "")
        return self


class _RetryPolicy(_Shape):
    ExceptionType: Annotated[list[ExceptionType], Field(min_length=1)]
    IntervalSeconds: Annotated[float, Field(ge=0, le=43_200)] | None = None
    BackoffRate: Annotated[float, Field(ge=0, le=1_000)] | None = None
    MaxAttempts: Annotated[int, Field(ge=0, le=20)] | None = None
    ExpireAfterMin: Annotated[int, Field(ge=0, le=14_400)] | None = None

    @model_validator(mode="after")
    def _ends_in_one_way(self) -> _RetryPolicy:
        if self.MaxAttempts is not None and self.ExpireAfterMin is not None:
            raise ValueError("MaxAttempts and ExpireAfterMin exclude each other")
        return self


class _Output(_Shape):
    OutputName: Text
    OutputType: Literal["String", "Integer", "Float", "Boolean"]


class _Step(_Shape):
    DisplayName: str | None = None
    Description: str | None = None
    DependsOn: list[str] | None = None
    PropertyFiles: list[_PropertyFile] | None = None
    CacheConfig: _CacheConfig | None = None
    RetryPolicies: list[_RetryPolicy] | None = None
    OutputParameters: list[_Output] | None = None


class _Lambda(_Step):
    FunctionArn: TextOrExpression


class _Callback(_Step):
    SqsQueueUrl: TextOrExpression


class _Comparison(_Shape):
    Type: Literal["Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo"]
    LeftValue: Any
    RightValue: Any


class _In(_Shape):
    Type: Literal["In"]
    QueryValue: Any
    Values: list[Any]


class _Not(_Shape):
    Type: Literal["Not"]
    Condition: _AnyCondition


class _Or(_Shape):
    Type: Literal["Or"]
    Conditions: list[_AnyCondition]


_AnyCondition = Annotated[_Comparison | _In | _Not | _Or, Field(discriminator="Type")]


class _ConditionArguments(_Shape):
    Conditions: Annotated[list[_AnyCondition], Field(min_length=1)]


class _Condition(_Step):
    Arguments: _ConditionArguments


_SHAPES: dict[str, type[_Step]] = {"Lambda": _Lambda, "Callback": _Callback, "Condition": _Condition}
