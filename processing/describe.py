"""Statistics of a channel's images: what monitoring later compares live images with."""

from __future__ import annotations

from typing import Any

import numpy as np

BRIGHTNESS_BINS = 32
# ITU-R BT.601 luma in 1/1000, as Pillow's mode "L" weighs R, G, B.
_LUMA = np.array([299, 587, 114], np.int64)


class ChannelStatistics:
    """Gathers counts and sums in whole numbers, so that order and batches do not matter."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._images = np.zeros(len(classes), np.int64)
        self._pixels = 0
        self._sum = np.zeros(3, np.int64)
        self._squares = np.zeros(3, np.int64)
        self._brightness = np.zeros(BRIGHTNESS_BINS, np.int64)

    @property
    def per_class(self) -> dict[str, int]:
        return {name: int(count) for name, count in zip(self._classes, self._images, strict=True)}

    def add(self, labels: np.ndarray, pixels: np.ndarray) -> None:
        """`labels` int [n] in the order of the classes, `pixels` uint8 [n, height, width, 3]."""
        if not len(labels):
            return
        self._images += np.bincount(labels, minlength=len(self._classes))
        images, height, width, _ = pixels.shape
        self._pixels += images * height * width
        rows = pixels.reshape(images, height, width * 3)  # long ones, which numpy adds many values at a time
        sums = rows.sum(axis=1, dtype=np.int64).reshape(images, width, 3).sum(axis=1)
        self._sum += sums.sum(axis=0)
        squares = np.square(rows, dtype=np.uint16).sum(axis=(0, 1), dtype=np.int64)
        self._squares += squares.reshape(width, 3).sum(axis=0)
        brightness = sums @ _LUMA // (1000 * height * width)
        self._brightness += np.bincount(brightness * BRIGHTNESS_BINS // 256, minlength=BRIGHTNESS_BINS)

    def summary(self) -> dict[str, Any]:
        """The channel's part of statistics.json.

        Channel means and deviations are in 0..1; the histogram counts images by mean luma, in bins of 8.
        """
        mean = self._sum / max(self._pixels, 1)
        variance = self._squares / max(self._pixels, 1) - mean**2
        return {
            "images": int(self._images.sum()),
            "per_class": self.per_class,
            "channel_mean": [round(float(value), 6) for value in mean / 255],
            "channel_std": [round(float(value), 6) for value in np.sqrt(variance.clip(0)) / 255],
            "brightness_histogram": self._brightness.tolist(),
        }
