"""Pictures made of small images, each with a line of text, in rows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = 64
GAP = 4
LINE = 14
INK = (32, 32, 32)
PAPER = (255, 255, 255)


@dataclass(frozen=True)
class Tile:
    """An image, uint8 [height, width, 3], and what to write under it."""

    pixels: np.ndarray
    caption: Sequence[str] = ()


@dataclass(frozen=True)
class Row:
    title: str
    tiles: Sequence[Tile]


def sheet_png(rows: Sequence[Row], cell_width: int = CELL) -> bytes:
    """A PNG with the rows below each other, titles above them."""
    lines = max((len(tile.caption) for row in rows for tile in row.tiles), default=0)
    columns = max((len(row.tiles) for row in rows), default=0)
    height = LINE + GAP + CELL + lines * LINE + GAP
    sheet = Image.new(
        "RGB", (max(columns, 4) * (cell_width + GAP) + GAP, max(len(rows), 1) * height + GAP), PAPER
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, row in enumerate(rows):
        top = GAP + number * height
        draw.text((GAP, top), row.title, INK, font)
        for column, tile in enumerate(row.tiles):
            left = GAP + column * (cell_width + GAP)
            sheet.paste(_fitted(tile.pixels), (left, top + LINE))
            for line, text in enumerate(tile.caption):
                draw.text((left, top + LINE + CELL + line * LINE), text, INK, font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _fitted(pixels: np.ndarray) -> Image.Image:
    """As large as a cell takes, in its own proportions."""
    height, width, _ = pixels.shape
    scale = CELL / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
