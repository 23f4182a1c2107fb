"""Drawing at a multiple of the wanted size, in the figure's own coordinates."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from processing.cifar100 import IMAGE_SIDE

SCALE = 4
SIDE = IMAGE_SIDE * SCALE
Colour = tuple[int, int, int]
Point = tuple[float, float]


class Canvas:
    """A square of paper, 1 x 1 from its top left, and a figure's coordinates on it, set by `place`."""

    def __init__(self, background: Image.Image) -> None:
        self.image = background
        self._draw = ImageDraw.Draw(background)
        self._matrix = (float(SIDE), 0.0, 0.0, 0.0, float(SIDE), 0.0)
        self._unit = float(SIDE)

    def place(self, centre: Point, size: float, squeeze: float, turn: float, mirrored: bool) -> None:
        """Let (0, 0) be at `centre` and 1 be `size`; `squeeze` narrows, `turn` (radians) rotates."""
        across = size * SIDE * squeeze * (-1 if mirrored else 1)
        down = size * SIDE
        sine, cosine = math.sin(turn), math.cos(turn)
        self._matrix = (
            *(across * cosine, -down * sine, centre[0] * SIDE),
            *(across * sine, down * cosine, centre[1] * SIDE),
        )
        self._unit = size * SIDE

    def _at(self, point: Point) -> Point:
        a, b, c, d, e, f = self._matrix
        x, y = point
        return a * x + b * y + c, d * x + e * y + f

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        pixels = max(1, round(width * self._unit))
        self._draw.line([self._at(point) for point in points], colour, pixels, joint="curve")

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon([self._at(point) for point in points], colour)

    def disc(self, centre: Point, radius: float, colour: Colour, flat: float = 1.0) -> None:
        self.polygon(_round(centre, radius, flat), colour)

    def ring(self, centre: Point, radius: float, colour: Colour, width: float) -> None:
        points = _round(centre, radius, 1.0)
        self.line([*points, points[0], points[1]], colour, width)

    def finish(self, rng: random.Random) -> np.ndarray:
        """The picture at its real size with a camera's faults; uint8 [3, 32, 32]."""
        image = self.image
        if rng.random() < 0.3:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.1) * SCALE / 2))
        small = np.asarray(image.resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BOX), np.float32)
        contrast, lift = rng.uniform(0.65, 1.15), rng.uniform(-30, 30)
        tint = np.array([rng.uniform(-14, 14) for _ in range(3)], np.float32)
        noise = np.random.default_rng(rng.getrandbits(64))
        grain = noise.integers(-128, 128, small.shape) * (rng.uniform(1, 11) / 74)  # of that deviation
        pixels = (small - 128) * contrast + 128 + lift + tint + grain
        return pixels.clip(0, 255).astype(np.uint8).transpose(2, 0, 1)


def _round(centre: Point, radius: float, flat: float) -> list[Point]:
    return [
        (
            centre[0] + radius * math.cos(n * math.tau / 20),
            centre[1] + radius * flat * math.sin(n * math.tau / 20),
        )
        for n in range(20)
    ]


def colour(rng: random.Random, low: int = 0, high: int = 255) -> Colour:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def shade(of: Colour, by: float) -> Colour:
    red, green, blue = (max(0, min(255, round(part * by))) for part in of)
    return red, green, blue
