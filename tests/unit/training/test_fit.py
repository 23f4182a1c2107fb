"""The parts of the training loop that a whole run would not tell apart."""

import copy
import dataclasses

import pytest
import torch

from training.data import Channel
from training.fit import DivergedError, MovingAverage, Trainer, learning_rate, precision_for, predict
from training.model import MINIMUM_SIDE, Network
from training.recipe import Recipe

CPU = torch.device("cpu")


def channel(images: int = 12) -> Channel:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return Channel(pixels, torch.arange(images) % 2)


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing():
    rates = [learning_rate(step / 100, 0.01) for step in range(101)]
    assert max(rates) == rates[20] == pytest.approx(0.01)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[0] == pytest.approx(0.0004)
    assert rates[100] == pytest.approx(0)


def test_average_follows_the_weights_soon_and_smoothly():
    network = Network(2, (4, 8, 8))
    average = MovingAverage(network, 0.9)
    start = copy.deepcopy(average.network.head.weight)
    with torch.no_grad():
        network.head.weight.add_(1)
    for _ in range(3):
        average.update()
    moved = (average.network.head.weight - start).mean().item()
    # 1 - (1/11)(2/12)(3/13): far faster than a decay of 0.9 a step, which would give 0.27.
    assert moved == pytest.approx(1 - 6 / (11 * 12 * 13), abs=1e-5)
    assert not any(p.requires_grad for p in average.network.parameters())


def test_whitened_patches_do_not_depend_on_each_other():
    data = channel(200)
    smooth = torch.nn.functional.avg_pool2d(data.images.float(), 3, 1, 1).to(torch.uint8)
    network = Network(2, (4, 8, 8))
    network.fit_to(smooth)
    out = network.whiten((smooth.float() / 255 - network.mean) / network.std)
    out = out[:, :, ::2, ::2]
    half = out[:, :12].transpose(0, 1).reshape(12, -1)
    covariance = half @ half.T / half.shape[1]
    off = covariance - torch.diag(covariance.diagonal())
    assert off.abs().max() < 0.02
    torch.testing.assert_close(out[:, :12], -out[:, 12:], rtol=1e-4, atol=1e-4)
    assert not network.whiten.weight.requires_grad


def test_first_layer_is_trained_where_whitening_is_off():
    trainer = Trainer(Recipe(width=4, whitening=False, batch_size=6, epochs=2), channel(), 2, CPU)
    before = trainer.network.whiten.weight.clone()
    for _ in range(4):
        trainer.advance()
    assert not torch.equal(before, trainer.network.whiten.weight)


def test_without_an_average_the_network_itself_is_kept():
    trainer = Trainer(Recipe(width=4, ema=0.0), channel(), 2, CPU)
    assert trainer.result is trainer.network


def test_last_images_of_an_uneven_epoch_take_their_turn(monkeypatch: pytest.MonkeyPatch):
    """12 images in steps of 5: two steps an epoch, and over the epochs every image is seen."""
    trainer = Trainer(Recipe(width=4, batch_size=5, epochs=20), channel(), 2, CPU)
    taken: list[list[int]] = []
    batch = trainer._batch

    def noted(indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        taken.append(indices.tolist())
        return batch(indices)

    monkeypatch.setattr(trainer, "_batch", noted)
    while trainer.epoch < 3:
        trainer.advance()
    assert [len(indices) for indices in taken] == [5] * 6
    assert all(not set(first) & set(second) for first, second in zip(taken[::2], taken[1::2], strict=True))
    assert set().union(*taken) == set(range(12))


def test_images_are_small_at_the_beginning_of_a_run_and_whole_at_its_end():
    recipe = Recipe(width=4, batch_size=6, epochs=5, small_share=0.4, small_side=0.75)
    trainer = Trainer(recipe, channel(), 2, CPU)
    sides = []
    while not trainer.finished:
        sides.append(trainer._batch(torch.arange(6))[0].shape[2:])
        trainer.advance()
    assert sides == [(12, 12)] * 4 + [(16, 16)] * 6
    # Never smaller than the network takes.
    trainer = Trainer(dataclasses.replace(recipe, small_side=0.1), channel(), 2, CPU)
    assert trainer._batch(torch.arange(6))[0].shape[2:] == (MINIMUM_SIDE, MINIMUM_SIDE)


@pytest.mark.parametrize("images", [2, 3])
def test_fewer_images_than_a_batch(images: int):
    trainer = Trainer(Recipe(width=4, batch_size=50, epochs=1), channel(images), 2, CPU)
    trainer.advance()
    assert trainer.epoch == 1


def test_flip_average_is_the_mean_of_both_views():
    network = Network(3, (4, 8, 8)).eval()
    pixels = channel().images
    both = [predict(network, view, flip_average=False) for view in (pixels, pixels.flip(3))]
    torch.testing.assert_close(predict(network, pixels, flip_average=True), (both[0] + both[1]) / 2)


@pytest.mark.parametrize("side", [MINIMUM_SIDE, 31, 33, 64])
def test_every_side_that_the_network_takes(side: int):
    assert Network(3, (4, 8, 8)).eval()(torch.rand(2, 3, side, side + 1)).shape == (2, 3)


def test_predicting_leaves_the_mode_as_it_was():
    network = Network(2, (4, 8, 8)).train()
    predict(network, channel().images, flip_average=True)
    assert network.training


@pytest.mark.parametrize(
    ("capabilities", "expected"), [({"avx512_bf16": True}, torch.bfloat16), ({}, torch.float32)]
)
def test_precision_follows_the_hardware(
    capabilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert precision_for("auto", CPU) is expected
    assert precision_for("float32", CPU) is torch.float32


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("optimiser", "rate"), [("muon", 0.1), ("adamw", 0.004)])
def test_every_optimiser_learns_in_every_precision(precision: str, optimiser: str, rate: float):
    recipe = dataclasses.replace(
        Recipe(width=4, batch_size=12, epochs=40, augmentation=0.0),
        precision=precision,
        optimiser=optimiser,
        learning_rate=rate,
    )
    trainer = Trainer(recipe, channel(), 2, CPU)
    trainer.advance()
    first = trainer.totals()[0]
    while trainer.epoch < 40:
        trainer.advance()
    assert trainer.totals()[0] < 0.8 * first


@pytest.mark.parametrize("ema", [0.0, 0.99])
def test_weights_that_are_no_numbers_after_the_last_step_end_the_run(ema: float):
    """Its loss still was one, and nobody looks at the loss of the step that does not come."""
    trainer = Trainer(Recipe(width=4, batch_size=12, epochs=1, ema=ema), channel(), 2, CPU)
    step = trainer.optimisers[0].step

    def step_too_far() -> None:
        step()
        torch.nn.init.constant_(trainer.network.head.weight, float("nan"))

    trainer.optimisers[0].step = step_too_far  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match="the weights became nan in epoch 1: lower"):
        trainer.advance()
