"""What an execution is given in place of the definition's defaults, checked before anything is paid for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline import algorithms

if TYPE_CHECKING:
    from pipeline.settings import Settings

_HAS_GPU = re.compile(r"ml\.[gp]\d")


class ParameterError(Exception):
    """A parameter of an execution that does not go with the definition."""


def check(settings: Settings, parameters: Mapping[str, str]) -> None:
    """Looks at those that are settings as well, which may be no other than in `scones.toml`.

    Names and types are the definition's, and for SageMaker to refuse.

    Raises:
        ParameterError: a value that the setting of this name would not have, or an instance with a GPU where
            the definition's image is for none, or the other way round.
    """
    values = {_setting(name): _value(settings, name, text) for name, text in parameters.items()}
    given = {key: value for key, value in values.items() if key in type(settings).model_fields}
    _check_instances(settings, parameters)
    try:
        algorithms.check(settings.model_copy(update=given))
    except ValueError as error:
        raise ParameterError(f"the parameters do not go with the settings: {error}") from None


def _setting(parameter: str) -> str:
    """`accuracy_threshold` of `AccuracyThreshold`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", parameter).lower()


def _value(settings: Settings, name: str, text: str) -> Any:
    try:
        return type(settings).checked(_setting(name), text)
    except ValueError as error:
        raise ParameterError(f"{name}={text}: {error}") from None


def _check_instances(settings: Settings, parameters: Mapping[str, str]) -> None:
    """A GPU would be paid for and not used, or missed."""
    for name in ("TrainingInstanceType", "ProcessingInstanceType"):
        if name == "TrainingInstanceType" and settings.training_image_uri:
            continue  # one's own image may be for both
        given, upserted = parameters.get(name), getattr(settings, _setting(name))
        if given and bool(_HAS_GPU.match(given)) != bool(_HAS_GPU.match(upserted)):
            raise ParameterError(
                f"{name}={given}: the definition's image is the one for {upserted}, and only one of the two "
                f"has a GPU; set {_setting(name)} and run `scones pipeline upsert`"
            )
