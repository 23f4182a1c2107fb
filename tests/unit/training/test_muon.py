"""Muon: what its orthogonalisation does to a matrix, and a step by hand."""

import pytest
import torch

from training.muon import Muon, orthogonalise


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 30), (30, 4), (8, 8)])
def test_every_direction_comes_out_alike(shape: tuple[int, int], precision: torch.dtype):
    """Singular values that differ by a factor of ten come out near 1, along the same directions."""
    generator = torch.Generator().manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    values = torch.linspace(1, 10, min(shape))
    result = orthogonalise(left @ torch.diag(values) @ right, steps=5, precision=precision)
    found = torch.linalg.svdvals(result)
    assert found.min() > 0.6
    assert found.max() < 1.3
    inside = left.T @ result @ right.T
    assert (inside - torch.diag(inside.diagonal())).abs().max() < 0.05


def test_first_step_by_hand():
    """A gradient with one direction: whatever its size, the weights go against it by about the rate."""
    for size in (1e-3, 1e3):
        weight = torch.nn.Parameter(torch.ones(3, 2, 1, 1))
        weight.grad = (
            size * torch.tensor([1.0, 0, 0]).view(3, 1, 1, 1) * torch.tensor([0.0, 1]).view(1, 2, 1, 1)
        )
        Muon([weight], lr=0.1, weight_decay=0.5).step()
        moved = weight.detach() - (1 - 0.1 * 0.5)
        expected = torch.zeros(3, 2, 1, 1)
        # Three rows and two columns: larger by the root of 3/2.
        expected[0, 1] = -0.1 * 1.5**0.5
        torch.testing.assert_close(moved, expected, rtol=0.35, atol=1e-4)


def test_momentum_is_restored_with_the_state():
    def steps(optimiser: Muon, weight: torch.nn.Parameter, count: int) -> None:
        for step in range(count):
            weight.grad = torch.eye(3).view(3, 3, 1, 1) * (step + 1)
            optimiser.step()

    one = torch.nn.Parameter(torch.randn(3, 3, 1, 1))
    first = Muon([one], lr=0.1)
    steps(first, one, 3)
    other = torch.nn.Parameter(one.detach().clone())
    second = Muon([other], lr=0.1)
    second.load_state_dict(first.state_dict())
    for weight, optimiser in ((one, first), (other, second)):
        steps(optimiser, weight, 2)
    assert torch.equal(one, other)


def test_parameters_without_a_gradient_stay():
    weight = torch.nn.Parameter(torch.ones(2, 2))
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(weight.detach(), torch.ones(2, 2))
