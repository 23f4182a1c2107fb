"""Pictures made of small images, each with a line of text, in rows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = 64
GAP = 4
LINE = 17
LETTERS = 13  # pixels; at 11 the built-in font draws its spaces too narrow to be seen
INK = (32, 32, 32)
PAPER = (255, 255, 255)


@dataclass(frozen=True)
class Tile:
    """An image, uint8 [height, width, 3], and what to write under it."""

    pixels: np.ndarray
    caption: Sequence[str] = ()


def small(pixels: np.ndarray) -> np.ndarray:
    """A copy to keep for a sheet, uint8 [height, width, 3]: no larger than a cell."""
    return np.array(_fitted(pixels, CELL) if max(pixels.shape) > CELL else pixels)


@dataclass(frozen=True)
class Row:
    title: str
    tiles: Sequence[Tile]


def sheet_png(rows: Sequence[Row], cell_width: int = CELL) -> bytes:
    """A PNG with the rows below each other, titles above them; a wide cell has a large image."""
    # Whole multiples: all pixels of a small image become equally large.
    side = max(cell_width // CELL, 1) * CELL
    columns = max((len(row.tiles) for row in rows), default=0)
    width = max(columns, 4) * (cell_width + GAP) + GAP
    sheet = Image.new("RGB", (width, sum(_height(row, side) for row in rows) + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LETTERS)
    top = GAP
    for row in rows:
        draw.text((GAP, top), row.title, INK, font)
        images = top + _title_height(row)
        for column, tile in enumerate(row.tiles):
            left = GAP + column * (cell_width + GAP)
            sheet.paste(_fitted(tile.pixels, side), (left, images))
            for line, text in enumerate(tile.caption):
                draw.text((left, images + side + line * LINE), text, INK, font)
        top += _height(row, side)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _title_height(row: Row) -> int:
    """A gap too, without which the letters that reach below the line stand on the image."""
    return LINE + GAP if row.title else 0


def _height(row: Row, side: int) -> int:
    lines = max((len(tile.caption) for tile in row.tiles), default=0)
    return _title_height(row) + side + lines * LINE + 2 * GAP


def _fitted(pixels: np.ndarray, side: int) -> Image.Image:
    """As large as a square of this side takes, in its own proportions."""
    height, width, _ = pixels.shape
    scale = side / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
