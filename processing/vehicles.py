"""Bicycles, motorcycles, and something simpler for every other class, as drawings.

The two kinds overlap on purpose: a bicycle may have fat tyres, a basket and a thick frame, a motorcycle
may be slim with thin tyres; either may carry a rider, face any way, be small or half hidden.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from processing.canvas import Canvas, Colour, colour, shade
from processing.cifar100 import FINE_LABEL_NAMES
from processing.scenery import background, clutter


def draw(name: str, rng: random.Random) -> np.ndarray:
    """A picture of the CIFAR-100 class `name`; uint8 [3, 32, 32]. The same for the same state of `rng`."""
    canvas = background(rng)
    size = rng.uniform(0.58, 1.0)
    centre = (0.5 + rng.uniform(-0.12, 0.12), 0.55 + rng.uniform(-0.1, 0.1))
    canvas.place(centre, size, rng.uniform(0.6, 1.0), rng.uniform(-0.25, 0.25), mirrored=rng.random() < 0.5)
    _FIGURES.get(name, _emblem_of(name))(canvas, rng)
    if rng.random() < 0.15:
        clutter(canvas, rng)
    return canvas.finish(rng)


def _bicycle(canvas: Canvas, rng: random.Random) -> None:
    ink, tyre = colour(rng), _tyre(rng)
    radius = rng.uniform(0.2, 0.3)
    rear, front = (-0.32, 0.2), (0.32, 0.2)
    for hub in (rear, front):
        _spoked_wheel(canvas, rng, hub, radius, tyre, rng.uniform(0.018, 0.06))
    crank = (-0.04, 0.22 + rng.uniform(-0.03, 0.03))
    saddle = (-0.13 + rng.uniform(-0.03, 0.03), -0.16 + rng.uniform(-0.06, 0.06))
    head = (0.22, -0.15 + rng.uniform(-0.05, 0.05))
    tube = rng.uniform(0.022, 0.055)
    low = (saddle[0] * 0.7, saddle[1] + 0.1)
    canvas.line([rear, crank, head, low, rear], ink, tube)
    canvas.line([crank, saddle], ink, tube)
    canvas.line([(head[0] - 0.02, head[1] - 0.1), head, front], shade(ink, 0.8), tube)
    grip = (head[0] + rng.uniform(-0.08, 0.1), head[1] - 0.12 - rng.uniform(0, 0.05))
    canvas.line([(head[0] - 0.02, head[1] - 0.1), grip], tyre, tube)
    canvas.line([(saddle[0] - 0.07, saddle[1]), (saddle[0] + 0.06, saddle[1])], tyre, 0.05)
    canvas.disc(crank, rng.uniform(0.03, 0.06), shade(tyre, 1.3))
    if rng.random() < 0.25:  # a basket
        left, top = head[0] + 0.03, head[1] - 0.06
        canvas.polygon(
            [(left, top), (left + 0.2, top), (left + 0.16, top + 0.16), (left, top + 0.16)], colour(rng)
        )
    if rng.random() < 0.4:
        _rider(canvas, rng, (saddle[0], saddle[1] - 0.02), grip, (crank[0], crank[1] + 0.08))


def _motorcycle(canvas: Canvas, rng: random.Random) -> None:
    ink, tyre, metal = colour(rng), _tyre(rng), _grey(rng, 60, 210)
    radius = rng.uniform(0.18, 0.25)
    rear, front = (-0.33, 0.22), (0.34, 0.22)
    slim = rng.random() < 0.35
    for hub in (rear, front):
        if slim:
            _spoked_wheel(canvas, rng, hub, radius, tyre, rng.uniform(0.04, 0.07))
        else:
            canvas.disc(hub, radius, tyre)
            canvas.disc(hub, radius * rng.uniform(0.35, 0.7), shade(metal, rng.uniform(0.6, 1.2)))
    seat_top, tank_top = -0.08 + rng.uniform(-0.05, 0.04), -0.14 + rng.uniform(-0.06, 0.04)
    fork = (0.2, tank_top - 0.04)
    canvas.line([fork, front], metal, rng.uniform(0.03, 0.06))
    canvas.line([rear, (0.0, 0.1)], metal, 0.05)
    bulk = 0.6 if slim else 1.0
    canvas.polygon(
        [(-0.16, 0.0), (0.16, -0.04), (0.14, 0.22 * bulk + 0.04), (-0.12, 0.26 * bulk)], shade(metal, 0.7)
    )
    canvas.disc((0.02, 0.12), 0.09 * bulk + 0.03, metal)
    canvas.line(
        [(0.0, 0.24), (-0.42, 0.26 + rng.uniform(-0.08, 0.04))], shade(metal, 1.3), rng.uniform(0.03, 0.07)
    )
    canvas.polygon(
        [(-0.06, tank_top + 0.05), (0.06, tank_top), (0.22, tank_top + 0.04), (0.12, 0.05), (-0.08, 0.04)],
        ink,
    )
    tail = (-0.42, seat_top - 0.02 - rng.uniform(0, 0.06))
    canvas.polygon(
        [tail, (-0.06, seat_top), (-0.06, seat_top + 0.09), (-0.34, seat_top + 0.08)], shade(tyre, 1.1)
    )
    canvas.polygon([(-0.5, 0.02), (-0.34, seat_top + 0.05), (-0.2, seat_top + 0.08), (-0.3, 0.06)], ink)
    if rng.random() < 0.5:  # a fairing
        canvas.polygon(
            [(0.1, tank_top), (0.3, tank_top - 0.1), (0.38, 0.0), (0.2, 0.16), (0.06, 0.1)], shade(ink, 1.1)
        )
    grip = (0.12 + rng.uniform(-0.06, 0.06), tank_top - 0.1)
    canvas.line([fork, grip], tyre, 0.035)
    if rng.random() < 0.6:
        canvas.disc((0.28, tank_top + 0.02), 0.05, (240, 240, 210))
    if rng.random() < 0.4:
        _rider(canvas, rng, (-0.14, seat_top - 0.02), grip, (0.0, 0.24))


def _spoked_wheel(
    canvas: Canvas, rng: random.Random, hub: tuple[float, float], radius: float, tyre: Colour, width: float
) -> None:
    canvas.ring(hub, radius, tyre, width)
    spokes = shade(tyre, rng.uniform(1.2, 2.5))
    if rng.random() < 0.6:
        canvas.line([(hub[0] - radius, hub[1]), (hub[0] + radius, hub[1])], spokes, 0.008)
        canvas.line([(hub[0], hub[1] - radius), (hub[0], hub[1] + radius)], spokes, 0.008)


def _rider(
    canvas: Canvas,
    rng: random.Random,
    seat: tuple[float, float],
    grip: tuple[float, float],
    foot: tuple[float, float],
) -> None:
    shirt, trousers = colour(rng), colour(rng, 0, 160)
    shoulder = ((seat[0] + grip[0]) / 2 + rng.uniform(-0.06, 0.06), seat[1] - rng.uniform(0.24, 0.34))
    knee = ((seat[0] + foot[0]) / 2 + 0.14, (seat[1] + foot[1]) / 2 - 0.04)
    canvas.line([seat, knee, foot], trousers, 0.08)
    canvas.line([seat, shoulder], shirt, rng.uniform(0.11, 0.16))
    canvas.line([shoulder, grip], shade(shirt, 0.85), 0.06)
    head = (shoulder[0] + 0.03, shoulder[1] - 0.1)
    canvas.disc(head, 0.08, rng.choice(((224, 182, 150), (120, 80, 55), colour(rng))))


def _tyre(rng: random.Random) -> Colour:
    return _grey(rng, 5, 70) if rng.random() < 0.85 else _grey(rng, 110, 200)


def _grey(rng: random.Random, low: int, high: int) -> Colour:
    level = rng.randint(low, high)
    return level, level, level


def _emblem_of(name: str) -> Callable[[Canvas, random.Random], None]:
    """A few shapes in a colour of the class's own: no likeness, but something to tell the class by."""

    def emblem(canvas: Canvas, rng: random.Random) -> None:
        own = random.Random(FINE_LABEL_NAMES.index(name))  # noqa: S311 - a drawing
        ink = colour(own)
        for _ in range(own.randint(2, 4)):
            spot = (own.uniform(-0.3, 0.3) + rng.uniform(-0.05, 0.05), own.uniform(-0.3, 0.3))
            size, corners = own.uniform(0.1, 0.3), own.randint(2, 6)
            tone = shade(ink, own.uniform(0.5, 1.5) * rng.uniform(0.8, 1.2))
            if corners < 3:
                canvas.disc(spot, size, tone, own.uniform(0.5, 1.0))
            else:
                canvas.polygon([_corner(own, spot, size) for _ in range(corners)], tone)

    return emblem


def _corner(own: random.Random, spot: tuple[float, float], size: float) -> tuple[float, float]:
    return spot[0] + own.uniform(-size, size), spot[1] + own.uniform(-size, size)


_FIGURES: dict[str, Callable[[Canvas, random.Random], None]] = {
    "bicycle": _bicycle,
    "motorcycle": _motorcycle,
}
