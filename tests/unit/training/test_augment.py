"""Random changes of training images: reproducible, within bounds, and off when they are off."""

import pytest
import torch
from torch.nn import functional

from training.augment import Augmentation, affine, colour, cutmix, cutout, flip, greyscale, shift

OFF = Augmentation(flip=False, shift=0, affine=0, colour=0, greyscale=0, cutout=0)


def images(count: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(9))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_same_seed_same_images_and_values_stay_in_range(strength: float):
    change = Augmentation(affine=strength, colour=strength)
    one, two, other = (change(images(), seeded(seed), (16, 16)) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.shape == (64, 3, 16, 16)
    assert one.min() >= 0
    assert one.max() <= 1


def test_all_off_changes_nothing():
    assert torch.equal(OFF(images(), seeded(), (16, 16)), images())


def test_the_given_images_are_not_changed():
    given = images()
    Augmentation()(given, seeded(), (12, 12))
    assert torch.equal(given, images())


def test_flip_mirrors_about_half():
    flipped = flip(images(1000), seeded())
    mirrored = (flipped == images(1000).flip(3)).all(dim=(1, 2, 3))
    same = (flipped == images(1000)).all(dim=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 400 < mirrored.sum() < 600


def test_shift_moves_by_whole_pixels_and_mirrors_at_the_edge():
    given = images(200)
    moved = shift(given, 2, seeded())
    padded = functional.pad(given, (2, 2, 2, 2), mode="reflect")
    places = set()
    for image, around in zip(moved, padded, strict=True):
        found = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(image, around[:, top : top + 16, left : left + 16])
        ]
        assert len(found) == 1
        places.update(found)
    assert len(places) == 25


def test_no_affine_change_is_the_identity():
    torch.testing.assert_close(affine(images(), 0.0, seeded(), (16, 16)), images(), atol=1e-5, rtol=0)
    torch.testing.assert_close(colour(images(), 0.0, seeded()), images(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", [OFF, Augmentation()])
def test_images_come_out_in_the_size_that_is_asked_for(change: Augmentation):
    assert change(images(), seeded(), (12, 10)).shape == (64, 3, 12, 10)


def test_a_smaller_image_shows_the_same():
    """A ramp stays the same ramp, at fewer places."""
    ramp = torch.linspace(0, 1, 16).view(1, 1, 1, 16).expand(2, 3, 16, 16)
    small = affine(ramp, 0.0, seeded(), (8, 8))
    torch.testing.assert_close(small, functional.interpolate(ramp, scale_factor=0.5, mode="bilinear"))


def test_cutout_greys_out_one_square_at_most():
    changed = cutout(torch.zeros(500, 3, 16, 16), 4, seeded())
    holes = (changed[:, 0] == 0.5).sum(dim=(1, 2))
    assert holes.max() == 16
    assert holes.min() >= 4
    assert torch.equal(changed[:, 0], changed[:, 2])


def test_greyscale_takes_the_colours_of_its_share_and_leaves_the_rest():
    changed = greyscale(images(1000), 0.2, seeded())
    grey = (changed == changed[:, :1]).all(dim=(1, 2, 3))
    same = (changed == images(1000)).all(dim=(1, 2, 3))
    assert (grey ^ same).all()
    assert 150 < grey.sum() < 250
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    torch.testing.assert_close(changed[grey][:, :1], (images(1000)[grey] * weights).sum(1, keepdim=True))


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_mixes_targets_by_the_area_that_is_replaced(seed: int):
    """Each image is of one colour, its own: what an image shows can be counted."""
    colours = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 12, 10).contiguous()
    mixed, targets = cutmix(colours, torch.eye(8), seeded(seed))
    for number, (image, target) in enumerate(zip(mixed, targets, strict=True)):
        shares = torch.stack([(image[0] == colour).float().mean() for colour in range(8)])
        torch.testing.assert_close(shares, target)
        assert (image == image[0]).all()
        foreign = (image[0] != number).nonzero()
        if len(foreign):  # one rectangle
            sides = foreign.amax(0) - foreign.amin(0) + 1
            assert sides.prod() == len(foreign)
    assert colours.equal(torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 12, 10))
