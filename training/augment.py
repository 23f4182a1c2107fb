"""Random changes to a batch of images that leave the class as it is, all on tensors.

Images are float [N, 3, H, W] in 0..1. Every random number comes from the given generator, so that a seed
decides them. `strength` scales how far a change may go.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

# How the weights of red, green and blue make up brightness (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.empty(count).uniform_(low, high, generator=generator)


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirrors half of the images left to right."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None].to(images.device), images.flip(3), images)


def shift(images: Tensor, pixels: int, generator: Generator) -> Tensor:
    """Moves each image by up to so many whole pixels each way; the edge mirrors what lies within it.

    Whole pixels, since anything between them blurs, and the images that are asked about are sharp.
    """
    if pixels <= 0:
        return images
    count, _, height, width = images.shape
    corners = torch.randint(0, 2 * pixels + 1, (2, count), generator=generator).T.tolist()
    padded = functional.pad(images, (pixels, pixels, pixels, pixels), mode="reflect")
    return torch.stack(
        [
            image[:, top : top + height, left : left + width]
            for image, (top, left) in zip(padded, corners, strict=True)
        ]
    )


def affine(images: Tensor, strength: float, generator: Generator, size: Sequence[int]) -> Tensor:
    """Rotation up to 15 degrees, scale 0.85..1.18, shear and offset up to 1/8 of the side, at strength 1.

    What comes out has `size` (height, width): resizing costs nothing where an image is resampled anyway.
    """
    count = len(images)
    angle = _uniform(count, -0.26, 0.26, generator) * strength
    scale = torch.exp(_uniform(count, -0.16, 0.16, generator) * strength)
    shear = _uniform(count, -0.15, 0.15, generator) * strength
    shift = _uniform(2 * count, -0.25, 0.25, generator).view(count, 2) * strength
    cos, sin = torch.cos(angle), torch.sin(angle)
    theta = torch.stack(
        [
            torch.stack([cos * scale, (shear - sin) * scale, shift[:, 0]], 1),
            torch.stack([sin * scale, cos * scale, shift[:, 1]], 1),
        ],
        1,
    ).to(images.device)
    grid = functional.affine_grid(theta, [*images.shape[:2], *size], align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def grey(images: Tensor) -> Tensor:
    """Brightness alone, [N, 1, H, W]."""
    weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def greyscale(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Takes the colours away from that share of the images."""
    chosen = torch.rand(len(images), generator=generator) < share
    return torch.where(chosen[:, None, None, None].to(images.device), grey(images), images)


def colour(images: Tensor, strength: float, generator: Generator) -> Tensor:
    """Brightness, contrast and saturation by factors of up to 1.4 or down to 0.6, at strength 1."""
    count = len(images)

    def factor() -> Tensor:
        return (1 + _uniform(count, -0.4, 0.4, generator) * strength).view(-1, 1, 1, 1).to(images.device)

    images = images * factor()
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * factor()
    greys = grey(images)
    return (greys + (images - greys) * factor()).clamp_(0, 1)


def cutout(images: Tensor, size: int, generator: Generator) -> Tensor:
    """Greys out a square of `size` pixels at a random place (DeVries and Taylor, 2017, arXiv:1708.04552)."""
    if size <= 0:
        return images
    count, _, height, width = images.shape
    top = torch.randint(-(size // 2), height - size // 2, (count, 1, 1, 1), generator=generator)
    left = torch.randint(-(size // 2), width - size // 2, (count, 1, 1, 1), generator=generator)
    rows, columns = torch.arange(height).view(1, 1, -1, 1), torch.arange(width).view(1, 1, 1, -1)
    hole = (rows >= top) & (rows < top + size) & (columns >= left) & (columns < left + size)
    return images.masked_fill(hole.to(images.device), 0.5)


def cutmix(images: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Puts a rectangle of another image of the batch into each; targets [N, classes] mix by area.

    (Yun et al., 2019, arXiv:1905.04899.) The share that an image keeps is uniform in 0..1.
    """
    count, _, height, width = images.shape
    side = (1 - torch.rand(1, generator=generator).item()) ** 0.5
    rows, columns = int(height * side), int(width * side)
    top = int(torch.randint(0, height - rows + 1, (1,), generator=generator))
    left = int(torch.randint(0, width - columns + 1, (1,), generator=generator))
    others = torch.randperm(count, generator=generator)
    place = (slice(None), slice(None), slice(top, top + rows), slice(left, left + columns))
    mixed = images.clone()
    mixed[place] = images[others.to(images.device)][place]
    kept = 1 - rows * columns / (height * width)
    return mixed, targets * kept + targets[others.to(targets.device)] * (1 - kept)


@dataclass(frozen=True)
class Augmentation:
    """The changes of a training batch, each with its strength."""

    flip: bool = True
    shift: float = 0.1
    affine: float = 0.0
    colour: float = 0.5
    greyscale: float = 0.2
    cutout: float = 0.125

    def __call__(self, images: Tensor, generator: Generator, size: Sequence[int]) -> Tensor:
        """The images, changed and of `size` (height, width)."""
        if self.flip:
            images = flip(images, generator)
        images = shift(images, round(min(images.shape[2:]) * self.shift), generator)
        if self.affine or tuple(size) != images.shape[2:]:
            images = affine(images, self.affine, generator, size)
        if self.colour:
            images = colour(images, self.colour, generator)
        if self.greyscale:
            images = greyscale(images, self.greyscale, generator)
        return cutout(images, round(images.shape[-1] * self.cutout), generator)
