"""What a tuning job searches: the `tuning` setting."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.numeric import Integer, Number
from training.recipe import Recipe

# What a tuning job may search: the recipe's numbers, but for those that change what is measured or by whom.
TUNABLE = {
    option.name: option
    for option in dataclasses.fields(Recipe)
    if option.type in (int, float) and option.name not in ("seed", "calibration_folds", "threads")
}
OBJECTIVES = {"heldout:accuracy": "Maximize", "heldout:loss": "Minimize"}
# A range whose ends are so far apart is searched by its logarithm.
_WIDE = 10


class Tuning(BaseModel):
    """`[tuning]` in scones.toml; `tuning = true` is the same with these defaults.

    The objective comes from a cross-validation within the training images, which each training job runs
    anyway. The validation channel, CIFAR-100's own test images, takes no part.

    Attributes:
        ranges: the lowest and highest value of each hyperparameter that is tuned, by the recipe's names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Literal["Bayesian", "Random"] = "Bayesian"
    # SageMaker's default quotas.
    max_jobs: Annotated[Integer, Field(ge=1, le=750)] = 12
    max_parallel_jobs: Annotated[Integer, Field(ge=1, le=100)] = 2
    objective: Literal[*OBJECTIVES] = "heldout:accuracy"  # type: ignore[valid-type]
    ranges: dict[str, tuple[Number, Number]] = Field(
        default={
            "learning_rate": (0.02, 0.4),
            "batch_size": (16.0, 64.0),
            "weight_decay": (0.01, 0.4),
            "width": (24.0, 64.0),
            "augmentation": (0.5, 1.5),
        }
    )

    @model_validator(mode="after")
    def _sensible(self) -> Tuning:
        if not self.ranges:
            raise ValueError("ranges: name at least one hyperparameter")
        for name, (low, high) in self.ranges.items():
            if name not in TUNABLE:
                raise ValueError(f"ranges: {name} cannot be tuned; known are {', '.join(TUNABLE)}")
            option = TUNABLE[name]
            if option.type is int and not (low.is_integer() and high.is_integer()):
                raise ValueError(f"ranges: {name} takes whole numbers, not {low:g} and {high:g}")
            least, most = option.metadata["low"], option.metadata["high"]
            if not least <= low < high <= most:
                raise ValueError(
                    f"ranges: {name} from {low:g} to {high:g} is no range between {least:g} and {most:g}"
                )
        return self

    def is_integer(self, name: str) -> bool:
        return TUNABLE[name].type is int

    def scaling(self, name: str) -> str:
        """Logarithmic for ranges over an order of magnitude or more, else Linear."""
        low, high = self.ranges[name]
        return "Logarithmic" if low > 0 and high / low >= _WIDE else "Linear"


def switch(value: Any) -> Any:
    """`tuning = true` asks for the defaults, `false` for none."""
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
        value = value.lower() in ("true", "1")
    if isinstance(value, bool):
        return Tuning() if value else None
    return value
