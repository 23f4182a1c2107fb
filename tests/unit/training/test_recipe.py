"""Hyperparameters: the command line, the presets, the ranges."""

import dataclasses

import pytest

from training import recipe
from training.recipe import PRESETS, HyperparameterError, Recipe, make


def parse(*arguments: str) -> Recipe:
    return recipe.from_namespace(recipe.parser().parse_args(arguments))


def test_every_field_is_an_option_with_help():
    text = recipe.parser().format_help()
    for option in dataclasses.fields(Recipe):
        assert f"--{option.name.replace('_', '-')} " in text
        assert option.metadata["help"]


def test_what_is_given_wins_over_the_preset_and_that_over_the_defaults():
    assert parse() == Recipe()
    fast = parse("--preset", "fast")
    assert parse("--fast") == fast
    assert fast == dataclasses.replace(Recipe(), **PRESETS["fast"])
    assert parse("--preset", "fast", "--epochs", "3") == dataclasses.replace(fast, epochs=3)
    # Even if what is given is the default.
    assert parse("--preset", "fast", "--epochs", str(Recipe().epochs)).epochs == Recipe().epochs


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_within_their_ranges(preset: str):
    make(preset)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--epochs", "1.5"),
        ("--learning-rate", "nan"),
        ("--learning-rate", "0"),
        ("--weight-decay", "-1"),
        ("--cutout", "1.1"),
        ("--calibration-folds", "1"),
        ("--preset", "slow"),
        ("--preset", "fast", "--fast"),
        ("--epoch", "3"),
        ("--width", "0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...]):
    with pytest.raises(HyperparameterError, match=arguments[0].lstrip("-")):
        parse(*arguments)


def test_flags_come_as_text_from_a_job():
    assert parse("--flip-average", "False").flip_average is False
    assert parse("--whitening", "true").whitening is True
