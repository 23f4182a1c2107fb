"""Which classes are taken for which others, as a picture where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from processing import figure

NUMBERED = 12  # classes up to which a cell has room for its numbers
NAMED = 50  # and a row for its name
SMALLEST, LARGEST = 3.6, 14.0  # inches of the matrix
DARK = 0.5


def confusion_png(matrix: np.ndarray, classes: Sequence[str]) -> bytes | None:
    """A confusion matrix as a PNG: a row an actual class, a column an answer, shaded by the share of its row.

    `matrix` int [n, n]. None without matplotlib.
    """
    count = len(classes)
    cell = 1.1 if count <= NUMBERED else 0.22
    side = min(max(SMALLEST, cell * count), LARGEST)
    drawn = figure.blank(side + 2.2, side + 1.2)
    if drawn is None:
        return None
    axes = drawn.subplots()
    images = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(images, 1)
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    drawn.colorbar(shown, ax=axes, label="share of the row", shrink=0.8)
    right, total = int(np.trace(matrix)), int(matrix.sum())
    axes.set(xlabel="the model's answer", ylabel="actual class", title=f"{right:,} of {total:,} right")
    names = classes if count <= NAMED else [""] * count
    upright = 0 if count <= 4 else 90
    axes.set_xticks(range(count), names, rotation=upright)
    rows = zip(names, images[:, 0], strict=True)
    axes.set_yticks(range(count), [f"{name} ({n:,})" if name else "" for name, n in rows])
    axes.tick_params(length=0)
    if count <= NUMBERED:
        _write_numbers(axes, matrix, shares)
    return figure.png(drawn)


def _write_numbers(axes: Any, matrix: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), images in np.ndenumerate(matrix):
        share = shares[row, column]
        text = f"{images:,}\n{share:.1%}" if images else "0"
        colour = "white" if share > DARK else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour)
