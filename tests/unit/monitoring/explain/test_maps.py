"""The maps: they find what an answer stands on, and only that; and they add up."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from monitoring.explain.maps import (
    GRADIENTS,
    METHODS,
    OCCLUSION,
    Check,
    MethodError,
    UnknownClassError,
    blur,
    explain,
)
from monitoring.explain.model import Model, black_box, read
from training.inference import Answer
from training.model import ModelCard, Network

CLASSES = ("dark", "light")
SIDE, WINDOW = 32, 8


def looks_at(rows: slice, columns: slice) -> Model:
    """Calls an image light by the mean of one region, and sees nothing else of it."""

    def probabilities(images: torch.Tensor) -> torch.Tensor:
        light = torch.sigmoid((images[:, :, rows, columns].mean(dim=(1, 2, 3)) - 100) / 10)
        return torch.stack([1 - light, light], dim=1)

    return Model(CLASSES, probabilities, (SIDE, SIDE), differentiable=True)


def image_with_light(rows: slice, columns: slice, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
    pixels[rows, columns] += 80
    return pixels


def around(part: slice, by: int) -> slice:
    return slice(max(0, part.start - by), part.stop + by)


@pytest.mark.parametrize("rows", [slice(0, 6), slice(10, 16), slice(26, 32)], ids=str)
@pytest.mark.parametrize("columns", [slice(2, 8), slice(20, 26)], ids=str)
def test_the_map_lies_where_the_answer_comes_from(rows, columns):
    found = explain(looks_at(rows, columns), "image", image_with_light(rows, columns), METHODS)
    assert found.explained == found.predicted == "light"
    # A square over a pixel reaches as far as its side, less one; a gradient is the pixel's own.
    reach = {OCCLUSION: WINDOW - 1, GRADIENTS: 0}
    for one in found.maps:
        near = around(rows, reach[one.method]), around(columns, reach[one.method])
        outside = one.values.copy()
        outside[near] = 0
        assert np.abs(outside).max() < 1e-5, one.method
        assert one.values[rows, columns].mean() > 2 * np.abs(one.values).mean(), one.method
        row, column = np.unravel_index(one.values.argmax(), one.values.shape)
        assert near[0].start <= row < near[0].stop, one.method
        assert near[1].start <= column < near[1].stop, one.method
        assert one.check.strongest < one.check.elsewhere, one.method


def test_what_speaks_for_one_class_speaks_against_the_other():
    region = slice(4, 12), slice(16, 24)
    model, pixels = looks_at(*region), image_with_light(*region)
    light, dark = (explain(model, "image", pixels, METHODS, name) for name in ("light", "dark"))
    assert (light.explained, dark.explained, dark.predicted) == ("light", "dark", "light")
    for one, other in zip(light.maps, dark.maps, strict=True):
        np.testing.assert_allclose(one.values, -other.values, atol=1e-4)


@pytest.mark.parametrize("seed", [1, 3, 4])
def test_integrated_gradients_are_complete(seed):
    """They sum to the difference between the image and its blurred self: Sundararajan et al., axiom 1."""
    torch.manual_seed(seed)
    network = Network(3, (8, 32, 32))
    network.fit_to(torch.randint(0, 256, (50, 3, SIDE, SIDE), dtype=torch.uint8))
    network.train()
    network(torch.rand(50, 3, SIDE, SIDE))  # gives the norms statistics of their own
    card = ModelCard(classes=("a", "b", "c"), channels=(8, 32, 32), temperature=0.02)
    model = Model(card.classes, Answer(network.eval(), card), card.image_size, differentiable=True)
    region = slice(4, 20), slice(8, 24)

    found = explain(model, "image", image_with_light(*region, seed), [GRADIENTS]).maps[0]

    assert abs(found.difference) > 0.1  # else there would be nothing to add up
    assert found.values.sum() == pytest.approx(found.difference, rel=0.05)


def test_occlusion_is_the_mean_cost_of_the_squares_over_a_pixel():
    """The same by hand, for a pixel in a corner that only one square covers, and the centre of the image."""
    region = slice(4, 12), slice(16, 24)
    model, pixels = looks_at(*region), image_with_light(*region)
    values = explain(model, "image", pixels, [OCCLUSION], "light").maps[0].values
    blurred = blur(pixels)

    def odds(image: np.ndarray) -> float:
        dark, light = model.probabilities(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].tolist()
        return float(np.log2(light / dark))

    def cost(row: int, column: int) -> float:
        hidden = pixels.copy()
        square = slice(row, row + WINDOW), slice(column, column + WINDOW)
        hidden[square] = blurred[square]
        return odds(pixels) - odds(hidden)

    for row, column in ((0, 0), (31, 31), (9, 20)):
        corners = [
            (top, left)
            for top in range(0, SIDE - WINDOW + 1, 2)
            for left in range(0, SIDE - WINDOW + 1, 2)
            if top <= row < top + WINDOW and left <= column < left + WINDOW
        ]
        expected = np.mean([cost(*corner) for corner in corners])
        assert values[row, column] == pytest.approx(expected, abs=1e-3)


def test_an_endpoint_has_the_same_occlusion_map():
    region = slice(4, 12), slice(16, 24)
    model, pixels = looks_at(*region), image_with_light(*region)

    def ask(png: bytes) -> list[float]:
        image = torch.from_numpy(read(png).copy()).permute(2, 0, 1)[None].float()
        return model.probabilities(image)[0].tolist()

    endpoint = black_box(CLASSES, ask)
    theirs = explain(endpoint, "image", pixels, [OCCLUSION]).maps[0]
    ours = explain(model, "image", pixels, [OCCLUSION]).maps[0]
    np.testing.assert_allclose(theirs.values, ours.values, atol=1e-3)
    assert theirs.check.strongest == pytest.approx(ours.check.strongest, abs=1e-4)
    with pytest.raises(MethodError, match="gives answers and no gradients"):
        explain(endpoint, "image", pixels, METHODS)


def test_a_model_that_is_certain_has_a_map_of_finite_numbers():
    certain = Model(
        CLASSES, lambda images: torch.tensor([[0.0, 1.0]]).repeat(len(images), 1), None, differentiable=False
    )
    found = explain(certain, "image", image_with_light(slice(0, 8), slice(0, 8)), [OCCLUSION])
    assert found.maps[0].values.tolist() == np.zeros((SIDE, SIDE)).tolist()


def test_an_unknown_class_is_named():
    with pytest.raises(UnknownClassError, match=r"no class unicycle: it knows dark, light"):
        explain(
            looks_at(slice(0, 8), slice(0, 8)), "image", np.zeros((8, 8, 3), np.uint8), METHODS, "unicycle"
        )


@pytest.mark.parametrize(
    ("strongest", "elsewhere", "holds"),
    [
        (0.60, 0.80, True),  # odds of 1.5 and of 4
        (0.67, 0.80, False),  # 2.03 and 4: lower, and not clearly
        (0.66, 0.80, True),
        (0.98, 0.991, True),  # 49 and 110: a hundredth of probability, and more than a bit
        (0.80, 0.90, True),
        (0.88, 0.87, False),
        (0.95, 0.95, False),
        (1.0, 1.0, False),
        (0.0, 0.0, False),
        (0.0, 1.0, True),
    ],
)
def test_a_map_holds_if_its_strongest_part_costs_a_bit_more_than_another(strongest, elsewhere, holds):
    check = Check(strongest, elsewhere)
    assert asdict(check) == {"strongest": strongest, "elsewhere": elsewhere, "holds": holds}  # as in JSON


def test_a_map_of_something_that_the_model_does_not_see_does_not_hold():
    region = slice(4, 12), slice(16, 24)
    model, pixels = looks_at(*region), image_with_light(*region)
    assert all(one.check.holds for one in explain(model, "image", pixels, METHODS).maps)
    even = Model(
        CLASSES, lambda images: torch.full((len(images), 2), 0.5), (SIDE, SIDE), differentiable=False
    )
    assert not explain(even, "image", pixels, [OCCLUSION]).maps[0].check.holds
