"""Metrics read from a training job's log by its metric definitions."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from typing import Any

from localaws.sagemaker.errors import ValidationError

NAMESPACE = "/aws/sagemaker/TrainingJobs"
_AT_ONCE = 1000  # PutMetricData's limit


class Metrics:
    """Collects what the definitions' regular expressions find: the first group or, without one, all of it."""

    def __init__(self, definitions: Sequence[dict[str, str]]) -> None:
        self._patterns = [(item["Name"], _compile(item)) for item in definitions]
        self._last: dict[str, dict[str, Any]] = {}
        self._data: list[dict[str, Any]] = []

    def read(self, line: str, host: str) -> list[tuple[str, float]]:
        """Takes in a line of the log; answers the metrics that it has."""
        found = []
        for name, pattern in self._patterns:
            for match in pattern.finditer(line):
                value = _number(match)
                if value is None:
                    continue
                found.append((name, value))
                moment = round(time.time(), 3)
                self._last[name] = {"MetricName": name, "Value": value, "Timestamp": moment}
                self._data.append(
                    {
                        "MetricName": name,
                        "Value": value,
                        "Timestamp": moment,
                        "Dimensions": [{"Name": "Host", "Value": host}],
                    }
                )
        return found

    def final(self) -> list[dict[str, Any]]:
        """DescribeTrainingJob's FinalMetricDataList: the last value of each."""
        return list(self._last.values())

    def publish(self, cloudwatch: Any) -> None:
        """Sends all values to CloudWatch. Raises botocore's errors."""
        for start in range(0, len(self._data), _AT_ONCE):
            cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=self._data[start : start + _AT_ONCE])


def check_definitions(definitions: Sequence[dict[str, str]]) -> None:
    """Raises ValidationError for a regular expression that cannot be compiled."""
    for item in definitions:
        _compile(item)


def _compile(definition: dict[str, str]) -> re.Pattern[str]:
    try:
        return re.compile(definition["Regex"])
    except re.error as error:
        raise ValidationError(
            f"The regular expression {definition['Regex']!r} of the metric {definition['Name']!r}: {error}."
        ) from error


def _number(match: re.Match[str]) -> float | None:
    text = match.group(1) if match.re.groups else match.group()
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
