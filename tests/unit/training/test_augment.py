"""Random changes of training images: reproducible, within bounds, and off when they are off."""

import pytest
import torch

from training.augment import Augmentation, affine, colour, cutout, flip, mixup

OFF = Augmentation(flip=False, affine=0, colour=0, cutout=0)


def images(count: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(9))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_same_seed_same_images_and_values_stay_in_range(strength: float):
    change = Augmentation(affine=strength, colour=strength)
    one, two, other = change(images(), seeded()), change(images(), seeded()), change(images(), seeded(1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.shape == (64, 3, 16, 16)
    assert one.min() >= 0
    assert one.max() <= 1


def test_all_off_changes_nothing():
    assert torch.equal(OFF(images(), seeded()), images())


def test_the_given_images_are_not_changed():
    given = images()
    Augmentation()(given, seeded())
    mixup(given, torch.eye(2)[torch.arange(64) % 2], 0.5, seeded())
    assert torch.equal(given, images())


def test_flip_mirrors_about_half():
    flipped = flip(images(1000), seeded())
    mirrored = (flipped == images(1000).flip(3)).all(dim=(1, 2, 3))
    same = (flipped == images(1000)).all(dim=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 400 < mirrored.sum() < 600


def test_no_affine_change_is_the_identity():
    torch.testing.assert_close(affine(images(), 0.0, seeded()), images(), atol=1e-5, rtol=0)
    torch.testing.assert_close(colour(images(), 0.0, seeded()), images(), atol=1e-5, rtol=0)


def test_cutout_greys_out_one_square_at_most():
    changed = cutout(torch.zeros(500, 3, 16, 16), 4, seeded())
    holes = (changed[:, 0] == 0.5).sum(dim=(1, 2))
    assert holes.max() == 16
    assert holes.min() >= 4
    assert torch.equal(changed[:, 0], changed[:, 2])


def test_mixup_blends_targets_as_it_blends_images():
    blank = torch.zeros(8, 3, 4, 4)
    blank[4:] = 1
    targets = torch.eye(2)[torch.arange(8) // 4]
    mixed, shares = mixup(blank, targets, 0.4, seeded())
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), shares[:, 1])
    torch.testing.assert_close(shares.sum(1), torch.ones(8))
    assert mixup(blank, targets, 0, seeded())[0] is blank
