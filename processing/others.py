"""The training images of every class that was not chosen, as arrays: what the network can be pretrained on.

Tens of thousands of small files would take a job longer to fetch than to learn from, so there are three:
`images.npy` (uint8 [N, height, width, 3]), `labels.npy` (int64 [N]) and `classes.txt`, a name a line in the
order of the labels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from processing.cifar100 import FINE_LABEL_NAMES
from processing.layout import OTHER_CLASSES, OTHER_IMAGES, OTHER_LABELS


class OtherClasses:
    """Collects images as they come. All are held in memory: 150 MB of CIFAR-100 in its own size."""

    def __init__(self) -> None:
        self._labels: list[np.ndarray] = []
        self._pixels: list[np.ndarray] = []

    def add(self, fine_labels: np.ndarray, pixels: np.ndarray) -> None:
        """Fine labels; RGB, uint8 [n, height, width, 3]."""
        self._labels.append(fine_labels)
        self._pixels.append(pixels)

    def __len__(self) -> int:
        return sum(map(len, self._labels))

    def write(self, folder: Path) -> None:
        """Labels are counted from 0 over the classes that occur, in the order of the fine labels."""
        occurring, labels = np.unique(np.concatenate(self._labels), return_inverse=True)
        np.save(folder / OTHER_IMAGES, np.concatenate(self._pixels))
        np.save(folder / OTHER_LABELS, labels.astype(np.int64))
        names = "".join(f"{FINE_LABEL_NAMES[label]}\n" for label in occurring)
        (folder / OTHER_CLASSES).write_text(names, encoding="utf-8")
