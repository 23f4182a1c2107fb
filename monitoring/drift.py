"""Whether what an endpoint sees and says has moved away from its model's baseline.

How far is the population stability index of two histograms p and q, the sum of (p - q) ln(p / q); from 0.2 or
0.25 on credit scoring, where it comes from, speaks of a significant shift (Siddiqi, Credit Risk Scorecards,
2006). Of few records it is large by chance, the more so the more bins there are, so a chi-square test of
homogeneity has to agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from monitoring.baseline import Baseline
from monitoring.limits import Feature, Limits

# Not proven: the index reaches the limit, and may do so by chance.
Verdict = Literal["drift", "not proven", "steady", "too few", "not judged"]

# Bins hold about as many of both samples together. Of either, each is to expect five: the test's usual rule.
BINS = 10
PER_BIN = 5
FEWEST = 30
# Of three features that are looked at each day, a false alarm a year would be by chance alone.
CHANCE = 0.001
TRAINING, VALIDATION = "training images", "validation answers"


@dataclass(frozen=True)
class Drift:
    """One feature of the captured records beside its baseline.

    Attributes:
        captured, baseline: how many there are of each; `baseline_of` says what the latter are.
        psi: population stability index, 0 for equal distributions; `limit` is where drift begins.
        p_value: how often equal distributions would differ so much.
    """

    feature: Feature
    captured: int
    baseline: int
    baseline_of: str
    psi: float
    limit: float
    p_value: float
    verdict: Verdict

    @property
    def finding(self) -> str:
        """The verdict with what it rests on."""
        if self.verdict == "too few":
            few, of = min((self.captured, "captured"), (self.baseline, "in the baseline"))
            return f"too few to compare, {few} of {FEWEST} {of}"
        chance = f"p < {CHANCE}" if self.p_value < CHANCE else f"p = {self.p_value:.2g}"
        return f"{self.verdict}, PSI {self.psi:.2f} ({chance})"

    def __str__(self) -> str:
        return f"{self.feature}: {self.finding}, beside {self.baseline:,} {self.baseline_of}"


def compare(
    brightness: np.ndarray,
    confidence: np.ndarray,
    predicted: Mapping[str, int],
    baseline: Baseline,
    limits: Limits,
) -> tuple[Drift, ...]:
    """Each feature that the baseline has.

    `brightness` float [n] in 0..255 and `confidence` float [m] in 0..1 are of the captured records,
    `predicted` their counts by class.
    """
    found = [_brightness(brightness, baseline, limits)]
    if baseline.confidence is not None:
        found.append(_confidence(confidence, baseline.confidence, limits))
    return (*found, _classes(predicted, baseline, limits))


def population_stability_index(captured: np.ndarray, baseline: np.ndarray) -> float:
    """Of two histograms' counts over the same bins; half a count more in each, so that none is empty."""
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (captured, baseline))
    return float(((p - q) * np.log(p / q)).sum())


def homogeneity(captured: np.ndarray, baseline: np.ndarray) -> float:
    """p-value of the chi-square test that two histograms are of one distribution."""
    table = np.stack([captured, baseline])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def _brightness(captured: np.ndarray, baseline: Baseline, limits: Limits) -> Drift:
    """Neighbouring bins of the baseline's histogram are put together."""
    base = baseline.brightness
    fine, _ = np.histogram(captured, bins=len(base), range=(0, 256))
    both = fine + base
    bins = _bins(fine.sum(), base.sum())
    middle = (np.cumsum(both) - both / 2) / max(both.sum(), 1)
    group = (middle * bins).astype(int).clip(0, bins - 1)
    counts = [np.bincount(group, weights=of, minlength=bins) for of in (fine, base)]
    return _judged("brightness", *_merged(*counts), TRAINING, limits)


def _confidence(captured: np.ndarray, baseline: np.ndarray, limits: Limits) -> Drift:
    shares = np.linspace(0, 1, _bins(len(captured), len(baseline)) + 1)[1:-1]
    both = np.concatenate([captured, baseline])
    edges = np.unique(np.quantile(both, shares)) if len(both) else np.empty(0)
    counts = [
        np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        for values in (captured, baseline)
    ]
    return _judged("confidence", *_merged(*counts), VALIDATION, limits)


def _classes(predicted: Mapping[str, int], baseline: Baseline, limits: Limits) -> Drift:
    """The rarest are put together."""
    counts = np.array([(n, baseline.per_class.get(name, 0)) for name, n in predicted.items()], dtype=float)
    rarest_first = counts[np.argsort(counts.sum(axis=1), kind="stable")]
    return _judged("predicted_class", *_merged(*rarest_first.T), TRAINING, limits)


def _bins(captured: float, baseline: float) -> int:
    return int(max(2, min(BINS, captured // PER_BIN, baseline // PER_BIN)))


def _merged(captured: np.ndarray, baseline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours together until the smaller of both samples can expect `PER_BIN` in each bin."""
    both = captured + baseline
    smaller = min(captured.sum(), baseline.sum()) / max(both.sum(), 1)
    group, expected = np.zeros(len(both), int), 0.0
    for place, count in enumerate(both[:-1]):
        expected += count * smaller
        full = expected >= PER_BIN
        group[place + 1 :] += full
        expected *= not full
    if expected + both[-1] * smaller < PER_BIN:  # the last bin is left with too few
        group = np.minimum(group, max(group[-1] - 1, 0))
    return np.bincount(group, weights=captured), np.bincount(group, weights=baseline)


def _judged(
    feature: Feature, captured: np.ndarray, baseline: np.ndarray, baseline_of: str, limits: Limits
) -> Drift:
    psi, p_value = population_stability_index(captured, baseline), homogeneity(captured, baseline)
    verdict: Verdict = "steady"
    if psi >= limits.psi:
        verdict = "drift" if p_value < CHANCE else "not proven"
    if min(captured.sum(), baseline.sum()) < FEWEST:
        verdict = "too few"
    elif feature not in limits.features:
        verdict = "not judged"
    return Drift(
        feature=feature,
        captured=int(captured.sum()),
        baseline=int(baseline.sum()),
        baseline_of=baseline_of,
        psi=round(psi, 4),
        limit=limits.psi,
        p_value=p_value,
        verdict=verdict,
    )
