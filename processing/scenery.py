"""What stands behind and before a drawn vehicle."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from processing.canvas import SIDE, Canvas, Colour, colour, shade


def background(rng: random.Random) -> Canvas:
    """A studio, a road under the sky, a wall or greenery, with things in it that are not the subject."""
    kind = rng.choice(("studio", "studio", "road", "road", "wall", "green"))
    canvas = Canvas(_PAINTERS[kind](rng))
    if kind != "studio":
        for _ in range(rng.randint(0, 4)):
            clutter(canvas, rng)
    return canvas


def clutter(canvas: Canvas, rng: random.Random) -> None:
    """A post, a box, a bush, a loose wheel or a fence, anywhere."""
    centre = (rng.random(), rng.uniform(0.2, 0.95))
    canvas.place(centre, rng.uniform(0.15, 0.6), 1.0, rng.uniform(-0.1, 0.1), mirrored=False)
    ink = colour(rng)
    kind = rng.randrange(5)
    if kind == 0:
        canvas.line([(0, -1), (0, 1)], ink, rng.uniform(0.04, 0.2))
    elif kind == 1:
        width, height = rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.5)
        canvas.polygon([(-width, -height), (width, -height), (width, height), (-width, height)], ink)
    elif kind == 2:
        for _ in range(6):
            spot = (rng.uniform(-0.4, 0.4), rng.uniform(-0.3, 0.3))
            canvas.disc(spot, rng.uniform(0.1, 0.25), shade(ink, rng.uniform(0.6, 1.2)))
    elif kind == 3:
        canvas.ring((0, 0), rng.uniform(0.2, 0.4), ink, rng.uniform(0.04, 0.2))
    else:
        for n in range(5):
            canvas.line([(n * 0.3 - 0.6, -0.3), (n * 0.3 - 0.6, 0.3)], ink, 0.05)
        canvas.line([(-0.7, -0.1), (0.7, -0.1)], ink, 0.05)


def _gradient(top: Colour, bottom: Colour) -> Image.Image:
    strip = Image.new("RGB", (1, 2))
    strip.putdata([top, bottom])
    return strip.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def _studio(rng: random.Random) -> Image.Image:
    if rng.random() < 0.5:
        level = rng.choice((rng.randint(200, 255), rng.randint(0, 80)))
        plain = (level, level, level)
    else:
        plain = colour(rng, 30, 240)
    return _gradient(plain, shade(plain, rng.uniform(0.7, 1.2)))


def _road(rng: random.Random) -> Image.Image:
    sky = (rng.randint(90, 220), rng.randint(130, 230), rng.randint(160, 255))
    image = _gradient(sky, shade(sky, 1.2))
    draw = ImageDraw.Draw(image)
    horizon = rng.randint(round(0.3 * SIDE), round(0.75 * SIDE))
    for _ in range(rng.randint(0, 8)):
        left, width = rng.randint(-20, SIDE), rng.randint(8, 50)
        draw.rectangle((left, horizon - rng.randint(4, 50), left + width, horizon), colour(rng, 30, 200))
    grey = rng.randint(60, 170)
    ground = (grey, grey, grey) if rng.random() < 0.6 else colour(rng, 40, 190)
    draw.rectangle((0, horizon, SIDE, SIDE), ground)
    if rng.random() < 0.5:
        at = rng.randint(horizon, SIDE)
        draw.line((0, at, SIDE, at + rng.randint(-12, 12)), shade(ground, 1.5), rng.randint(1, 5))
    return image


def _wall(rng: random.Random) -> Image.Image:
    base = colour(rng, 50, 210)
    image = Image.new("RGB", (SIDE, SIDE), base)
    draw = ImageDraw.Draw(image)
    step, mortar = rng.randint(8, 28), shade(base, rng.choice((0.7, 1.3)))
    upright = rng.random() < 0.5
    for at in range(rng.randint(0, step), SIDE, step):
        draw.line((at, 0, at, SIDE) if upright else (0, at, SIDE, at), mortar, rng.randint(1, 4))
    floor = rng.randint(round(0.7 * SIDE), SIDE)
    draw.rectangle((0, floor, SIDE, SIDE), colour(rng, 40, 200))
    return image


def _green(rng: random.Random) -> Image.Image:
    base = (rng.randint(20, 120), rng.randint(70, 170), rng.randint(10, 90))
    image = Image.new("RGB", (SIDE, SIDE), base)
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, radius = rng.randint(0, SIDE), rng.randint(0, SIDE), rng.randint(3, 14)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), shade(base, rng.uniform(0.5, 1.5)))
    return image


_PAINTERS = {"studio": _studio, "road": _road, "wall": _wall, "green": _green}
