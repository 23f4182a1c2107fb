"""Search spaces: whatever the ranges, what is chosen lies in them, and a search can be taken up anywhere."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localaws.sagemaker.tuning.search import Search, Trial, grid_size, read_space

SCALES = ("Auto", "Linear", "Logarithmic")
LEARNING_RATE = {"Name": "rate", "MinValue": "0.001", "MaxValue": "1", "ScalingType": "Logarithmic"}
SPACE = {
    "ContinuousParameterRanges": [
        LEARNING_RATE,
        {"Name": "decay", "MinValue": "0", "MaxValue": "0.5"},
        {"Name": "momentum", "MinValue": "0.5", "MaxValue": "0.999", "ScalingType": "ReverseLogarithmic"},
    ],
    "IntegerParameterRanges": [{"Name": "batch", "MinValue": "8", "MaxValue": "128"}],
    "CategoricalParameterRanges": [{"Name": "width", "Values": ["32", "64"]}],
}


def search(ranges, strategy="Bayesian", seed=1, maximize=True, budget=12):
    return Search(strategy, read_space(ranges), seed, maximize, budget)


@st.composite
def ranges(draw):
    def number(name, value, scaling):
        low, high = sorted((draw(value), draw(value)))
        return {"Name": name, "MinValue": str(low), "MaxValue": str(high), "ScalingType": draw(scaling)}

    positive = st.floats(1e-6, 1e6)
    return {
        "ContinuousParameterRanges": [
            number("c", positive, st.sampled_from(SCALES)),
            number("r", st.floats(0, 0.9999), st.just("ReverseLogarithmic")),
        ],
        "IntegerParameterRanges": [number("i", st.integers(1, 10**6), st.sampled_from(SCALES))],
        "CategoricalParameterRanges": [
            {"Name": "k", "Values": draw(st.lists(st.text(max_size=5), min_size=1, unique=True, max_size=5))}
        ],
    }


@settings(max_examples=40)
@given(ranges(), st.sampled_from(("Bayesian", "Random")), st.integers(0, 2**31))
def test_chosen_lies_in_the_ranges_and_can_be_told_again(given_, strategy, seed):
    asked, trials = search(given_, strategy, seed), []
    limits = {
        each["Name"]: (float(each["MinValue"]), float(each["MaxValue"]))
        for member in ("ContinuousParameterRanges", "IntegerParameterRanges")
        for each in given_[member]
    }
    for index in range(5):
        chosen = asked.next(trials, index)
        assert chosen.keys() == {"c", "r", "i", "k"}
        for name, (low, high) in limits.items():
            assert low <= float(chosen[name]) <= high
        assert str(int(chosen["i"])) == chosen["i"]
        assert chosen["k"] in given_["CategoricalParameterRanges"][0]["Values"]
        trials.append(Trial(chosen, None if index % 2 else float(index)))


@pytest.mark.parametrize("strategy", ["Bayesian", "Random"])
def test_answer_follows_from_the_seed_and_what_was_tried(strategy):
    trials = [Trial(search(SPACE, strategy).next([], index), float(index)) for index in range(6)]
    assert search(SPACE, strategy).next(trials, 6) == search(SPACE, strategy).next(trials, 6)
    assert search(SPACE, strategy).next(trials, 6) != search(SPACE, strategy, seed=2).next(trials, 6)


def test_jobs_that_run_at_the_same_time_differ():
    trials, asked = [], search(SPACE)
    for index in range(12):
        trials.append(Trial(asked.next(trials, index)))
    assert len({tuple(trial.hyperparameters.items()) for trial in trials}) == 12


@pytest.mark.parametrize("maximize", [True, False])
def test_bayesian_search_comes_closer_than_chance(maximize):
    """A bowl whose bottom is at a rate of 0.1: over ten seeds, the mean of the best found."""

    def found(strategy, seed):
        asked = search({"ContinuousParameterRanges": [LEARNING_RATE]}, strategy, seed, maximize, budget=20)
        trials, best = [], math.inf
        for index in range(20):
            chosen = asked.next(trials, index)
            distance = (math.log10(float(chosen["rate"])) + 1) ** 2
            best = min(best, distance)
            trials.append(Trial(chosen, -distance if maximize else distance))
        return best

    def mean(strategy):
        return sum(found(strategy, seed) for seed in range(10)) / 10

    assert mean("Bayesian") < mean("Random") / 2


@pytest.mark.parametrize(
    ("scaling", "low_half"),
    [("Linear", 0.5), ("Logarithmic", 0.9), ("ReverseLogarithmic", 0.1), ("Auto", 0.9)],
)
def test_scaling_decides_where_most_is_tried(scaling, low_half):
    """Of 0.0001 to 0.9999, how much falls into the lower half."""
    ends = {"Name": "x", "MinValue": "0.0001", "MaxValue": "0.9999", "ScalingType": scaling}
    asked = search({"ContinuousParameterRanges": [ends]}, "Random")
    tried = [float(asked.next([], index)["x"]) for index in range(200)]
    assert sum(x < 0.5 for x in tried) / 200 == pytest.approx(low_half, abs=0.1)


def test_grid_is_every_combination_once():
    choices = {
        "CategoricalParameterRanges": [
            {"Name": "a", "Values": ["1", "2", "3"]},
            {"Name": "b", "Values": ["x", "y"]},
        ]
    }
    asked = search(choices, "Grid")
    assert grid_size(asked.space) == 6
    assert len({tuple(asked.next([], index).items()) for index in range(6)}) == 6
