"""Drift: against values worked out by hand, and how often it is wrong on data of a known distribution."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitoring.baseline import Baseline
from monitoring.drift import FEWEST, compare, homogeneity, population_stability_index
from monitoring.limits import Limits

CLASSES = ("bicycle", "motorcycle")
LOOKED = 4_000  # images of the baseline
counts = st.lists(st.integers(0, 10_000), min_size=1, max_size=32)


def draw(images: int, seed: int, brighter: float = 0, surer: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Brightness and confidence of images that come from one source."""
    rng = np.random.default_rng(seed)
    light = rng.normal(120 + brighter, 30, images).clip(0, 255)
    return light, 0.5 + 0.5 * rng.beta(5 + surer, 1.2, images)


def baseline(answers: bool = True) -> Baseline:
    light, confidence = draw(LOOKED, seed=1)
    histogram, _ = np.histogram(light, bins=32, range=(0, 256))
    trained = {"bicycle": LOOKED // 2, "motorcycle": LOOKED // 2}
    return Baseline(trained, histogram, confidence if answers else None)


BASELINE = baseline()


def verdicts(
    light: np.ndarray, confidence: np.ndarray, predicted=None, base=BASELINE, limits: Limits | None = None
) -> dict[str, str]:
    predicted = predicted or {"bicycle": len(light) // 2, "motorcycle": len(light) - len(light) // 2}
    found = compare(light, confidence, predicted, base, limits or Limits())
    return {each.feature: each.verdict for each in found}


def test_the_index_by_hand():
    captured, base = np.array([30, 70]), np.array([50, 50])
    p, q = (30.5 / 101, 70.5 / 101), (0.5, 0.5)
    by_hand = sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert population_stability_index(captured, base) == pytest.approx(by_hand)


def test_the_test_is_fishers_where_there_are_two_bins():
    """Within what an approximation of an exact test may be off by."""
    captured, base = np.array([300, 700]), np.array([340, 660])
    exact = stats.fisher_exact([captured, base]).pvalue
    assert homogeneity(captured, base) == pytest.approx(exact, rel=0.15)


@given(counts, st.randoms(use_true_random=False))
def test_any_histograms_have_an_index_and_a_probability(captured, random):
    base = captured[:]
    random.shuffle(base)
    index = population_stability_index(np.array(captured), np.array(base))
    assert index >= 0
    assert 0 <= homogeneity(np.array(captured), np.array(base)) <= 1
    assert population_stability_index(np.array(captured), np.array(captured)) == 0


@pytest.mark.parametrize("images", [FEWEST, 60, 200, 2_000])
def test_the_same_source_is_steady(images):
    """One in a thousand by chance for each of two features; both limits together are stricter still."""
    trials = 300
    wrong = sum("drift" in verdicts(*draw(images, seed)).values() for seed in range(100, 100 + trials))
    assert wrong <= 3


@pytest.mark.parametrize(
    ("shift", "drifted"),
    [
        ({"brighter": 60}, "brightness"),
        ({"brighter": -60}, "brightness"),
        ({"surer": -4}, "confidence"),
        ({"surer": 30}, "confidence"),
    ],
)
@pytest.mark.parametrize("images", [FEWEST, 300])
def test_another_source_has_drifted(shift, drifted, images):
    found = verdicts(*draw(images, seed=7, **shift))
    assert [feature for feature, verdict in found.items() if verdict == "drift"] == [drifted]


def test_what_chance_can_do_is_not_proven():
    """An index over the limit of so few images that it says little."""
    captured, trained = {"bicycle": 20, "motorcycle": 10}, {"bicycle": 500, "motorcycle": 500}
    base = Baseline(trained, BASELINE.brightness)
    limits = Limits(psi=0.05, features=("predicted_class",))
    (_, found) = compare(np.empty(0), np.empty(0), captured, base, limits)
    assert (found.verdict, found.p_value > 0.001) == ("not proven", True)
    assert "not proven, PSI 0.1" in str(found)


@pytest.mark.parametrize("images", [FEWEST, 60, 200, 1_000])
def test_a_small_or_lumpy_baseline_raises_no_alarm_by_itself(images):
    """Few images, or most of them alike: a bin of which hardly any are expected proves nothing."""
    limits, wrong = Limits(features=("brightness", "confidence", "predicted_class")), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)

        def sample(count, rng=rng):
            alike = rng.random(count) < 0.97
            light = np.where(alike, 120, rng.uniform(0, 255, count))
            confidence = np.where(alike, 1.0, rng.uniform(0.5, 1, count))
            return light, confidence, rng.multinomial(count, [0.81] + [0.01] * 19)

        light, confidence, labels = sample(150)
        histogram, _ = np.histogram(light, bins=32, range=(0, 256))
        base = Baseline(
            {str(n): int(count) for n, count in enumerate(labels)}, histogram, confidence[:FEWEST]
        )
        light, confidence, predicted = sample(images)
        counts = {str(n): int(count) for n, count in enumerate(predicted)}
        wrong += sum(each.verdict == "drift" for each in compare(light, confidence, counts, base, limits))
    assert wrong <= 3  # of 600


def test_a_rise_from_one_value_is_seen_as_a_fall_is():
    base = Baseline(BASELINE.per_class, BASELINE.brightness, np.full(200, 0.9))
    light, _ = draw(100, seed=7)
    assert verdicts(light, np.full(100, 0.9), base=base)["confidence"] == "steady"
    assert verdicts(light, np.full(100, 0.99), base=base)["confidence"] == "drift"
    assert verdicts(light, np.full(100, 0.6), base=base)["confidence"] == "drift"


def test_a_small_shift_of_very_many_images_is_below_the_limit():
    """Chance can be ruled out; it is not worth an alarm."""
    light, confidence = draw(50_000, seed=3, brighter=4)
    found = compare(light, confidence, {"bicycle": 25_000, "motorcycle": 25_000}, BASELINE, Limits())
    assert found[0].p_value < 0.001
    assert found[0].psi < 0.2
    assert found[0].verdict == "steady"
    assert verdicts(light, confidence, limits=Limits(psi=0.001))["brightness"] == "drift"


def test_images_of_one_brightness_have_drifted():
    _, confidence = draw(100, seed=7)
    for value in (0, 119.7, 255):
        assert verdicts(np.full(100, value), confidence)["brightness"] == "drift"


@pytest.mark.parametrize("images", [0, 1, FEWEST - 1])
def test_few_are_not_judged(images):
    light, confidence = draw(images, seed=7, brighter=100)
    assert set(verdicts(light, confidence).values()) == {"too few"}


def test_images_that_cannot_be_decoded_leave_the_answers():
    _, confidence = draw(100, seed=7)
    found = verdicts(np.empty(0), confidence, {"bicycle": 50, "motorcycle": 50})
    assert found == {"brightness": "too few", "confidence": "steady", "predicted_class": "not judged"}


@pytest.mark.parametrize("base", [BASELINE, baseline(answers=False)], ids=["answers", "labels alone"])
def test_the_mix_of_classes_is_judged_on_request(base):
    light, confidence = draw(200, seed=7)
    limits = Limits(features=("predicted_class",))
    for predicted, verdict in (
        ({"bicycle": 105, "motorcycle": 95}, "steady"),
        ({"bicycle": 190, "motorcycle": 10}, "drift"),
    ):
        found = verdicts(light, confidence, predicted, base, limits)
        assert found["predicted_class"] == verdict
        assert found["brightness"] == "not judged"
        assert ("confidence" in found) == (base.confidence is not None)


def test_a_model_that_is_always_sure_is_compared():
    """All of the baseline's confidences are one value, so that its quantiles are."""
    sure = Baseline(BASELINE.per_class, BASELINE.brightness, np.ones(200))
    light, doubtful = draw(100, seed=7)
    assert verdicts(light, np.ones(100), base=sure)["confidence"] == "steady"
    assert verdicts(light, doubtful, base=sure)["confidence"] == "drift"


@pytest.mark.parametrize(
    ("images", "brighter", "says"),
    [
        (300, 0, "brightness: steady, PSI 0.0"),
        (300, 90, r"brightness: drift, PSI \d\.\d\d \(p < 0.001\), beside 4,000 training images"),
        (12, 0, "brightness: too few to compare, 12 of 30 captured, beside 4,000 training images"),
    ],
)
def test_each_is_said_in_a_sentence(images, brighter, says):
    light, confidence = draw(images, seed=7, brighter=brighter)
    found = compare(light, confidence, {"bicycle": images, "motorcycle": 0}, BASELINE, Limits())
    assert re.match(says, str(found[0])), str(found[0])
