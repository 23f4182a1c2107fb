"""A picture in a terminal: a character shows two pixels, the upper as its colour, the lower as its ground."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

WIDTH = 48


def drawing(picture: bytes, width: int = WIDTH) -> str:
    """ANSI text of at most `width` columns. Raises PIL's UnidentifiedImageError for what is no image."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    width = min(width, max(image.width, 16))
    height = max(2, round(image.height * width / image.width) // 2 * 2)
    pixels: Any = image.resize((width, height)).load()
    lines = []
    for top in range(0, height, 2):
        cells = []
        for column in range(width):
            upper, lower = (";".join(str(value) for value in pixels[column, top + row]) for row in (0, 1))
            cells.append(f"\x1b[38;2;{upper};48;2;{lower}m▀")
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)
