"""Which hyperparameters to try next: the ranges of a tuning job as a search space, and the strategies.

Nothing is remembered between two questions: the answer follows from the seed and from what was tried, so a
search goes on after a restart as if there had been none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localaws.documents import Document

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler


# Where the scale is left to SageMaker (Auto): a range over two decades or more is searched by its logarithm.
_WIDE = 100


@dataclass(frozen=True)
class Trial:
    """Hyperparameters that were tried. `value` is the objective's; None while it runs.

    Trials that came to nothing are left out of what a search is told, as are those yet to be repeated.
    """

    hyperparameters: Mapping[str, str]
    value: float | None = None


@dataclass(frozen=True)
class Number:
    """A continuous or integer range. It is searched in coordinates of its own: 1 - x where `reverse`."""

    low: float
    high: float
    scaling: str
    integer: bool

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.integer:
            return IntDistribution(int(self.low), int(self.high), log=self._logarithmic())
        low, high = (1 - self.high, 1 - self.low) if self._reverse() else (self.low, self.high)
        return FloatDistribution(low, high, log=self._logarithmic())

    def to_text(self, coordinate: Any) -> str:
        if self.integer:
            return str(int(coordinate))
        value = 1 - coordinate if self._reverse() else coordinate
        return repr(float(min(max(value, self.low), self.high)))

    def from_text(self, text: str) -> Any:
        if self.integer:
            return int(text)
        value = float(text)
        # 1 - (1 - x) may be off by a last digit, and so outside.
        return min(max(1 - value, 1 - self.high), 1 - self.low) if self._reverse() else value

    def _reverse(self) -> bool:
        return self.scaling == "ReverseLogarithmic"

    def _logarithmic(self) -> bool:
        if self.scaling == "Auto":
            return self.low > 0 and self.high / self.low >= _WIDE
        return self.scaling != "Linear"


@dataclass(frozen=True)
class Choice:
    """A categorical range."""

    values: tuple[str, ...]

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def to_text(self, coordinate: Any) -> str:
        return str(coordinate)

    def from_text(self, text: str) -> Any:
        return text


Space = dict[str, Number | Choice]


def read_space(ranges: Document) -> Space:
    """The parameter ranges of a request that was found right."""
    found: Space = {}
    for member, integer in (("ContinuousParameterRanges", False), ("IntegerParameterRanges", True)):
        for each in ranges.get(member) or []:
            low, high = float(each["MinValue"]), float(each["MaxValue"])
            found[each["Name"]] = Number(low, high, each.get("ScalingType") or "Auto", integer)
    for each in ranges.get("CategoricalParameterRanges") or []:
        found[each["Name"]] = Choice(tuple(each["Values"]))
    return found


def grid_size(space: Space) -> int:
    """How many combinations a grid of categorical ranges has."""
    return math.prod(len(part.values) for part in space.values() if isinstance(part, Choice))


@dataclass(frozen=True)
class Search:
    """A tuning job's search.

    Attributes:
        strategy: Bayesian, Random or Grid.
        budget: how many training jobs it may try.
    """

    strategy: str
    space: Space
    seed: int
    maximize: bool
    budget: int

    def next(self, trials: Sequence[Trial], index: int) -> dict[str, str]:
        """The hyperparameters of the training job with this index, from 0, as texts."""
        if self.strategy == "Grid":
            return self._of_grid(index)
        study = self._study(trials, index)
        parts = {name: part.distribution() for name, part in self.space.items()}
        chosen = study.ask(fixed_distributions=parts).params
        return {name: self.space[name].to_text(value) for name, value in chosen.items()}

    def _of_grid(self, index: int) -> dict[str, str]:
        choices = [part.values for part in self.space.values() if isinstance(part, Choice)]
        combination = next(itertools.islice(itertools.product(*choices), index, None))
        return dict(zip(self.space, combination, strict=True))

    def _study(self, trials: Sequence[Trial], index: int) -> Study:
        import optuna
        from optuna.trial import TrialState, create_trial

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            direction="maximize" if self.maximize else "minimize", sampler=self._sampler(index)
        )
        parts = {name: part.distribution() for name, part in self.space.items()}
        for trial in trials:
            tried = {name: self.space[name].from_text(text) for name, text in trial.hyperparameters.items()}
            state = TrialState.RUNNING if trial.value is None else TrialState.COMPLETE
            study.add_trial(create_trial(params=tried, distributions=parts, value=trial.value, state=state))
        return study

    def _sampler(self, index: int) -> BaseSampler:
        import numpy as np
        from optuna.samplers import RandomSampler, TPESampler

        seed = int(np.random.SeedSequence([self.seed, index]).generate_state(1)[0])
        if self.strategy == "Random":
            return RandomSampler(seed=seed)
        # A third of a small budget at random, then tree-structured Parzen estimators: a search by Bayes' rule
        # that needs numpy alone. Jobs that run count as bad ones, so that parallel ones differ.
        return TPESampler(
            seed=seed,
            n_startup_trials=min(10, max(3, self.budget // 3)),
            multivariate=True,
            constant_liar=True,
        )
