"""A channel's folder: PNG images, the `.lst` file that SageMaker's image algorithm reads, the manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from processing.contact_sheet import Row, Tile, small
from processing.describe import ChannelStatistics
from processing.images import LabelledImage
from processing.instances import WHOLE, Share
from processing.layout import MANIFEST
from processing.png import encode
from processing.recordio import record

SAMPLES_A_CLASS = 16


class ChannelWriter:
    """Writes a channel's images as they come, its lists at the end.

    A file is named by class and record, so both versions of the archive give the same files, and no name from
    the archive gets near the file system. Where the job has several instances, each writes its share of the
    images and all of the lists, which are the same on all.
    """

    def __init__(
        self,
        folder: Path,
        channel: str,
        classes: tuple[str, ...],
        share: Share = WHOLE,
        recordio: Path | None = None,
    ) -> None:
        """`recordio` is where to write all images as one RecordIO file as well."""
        self.channel = channel
        self.statistics = ChannelStatistics(classes)
        self._folder = folder
        self._share = share
        self._recordio = recordio.open("wb") if recordio else None
        self._classes = classes
        self._lines: list[dict[str, str | int | None]] = []
        self._samples: list[list[np.ndarray]] = [[] for _ in classes]

    def add(
        self, numbers: np.ndarray, labels: np.ndarray, pixels: np.ndarray, names: Sequence[str] | None
    ) -> None:
        """Records' places in their split; labels by the classes' order; RGB, uint8 [n, height, width, 3]."""
        self.statistics.add(labels, pixels)
        for row, (number, label) in enumerate(zip(numbers.tolist(), labels.tolist(), strict=True)):
            name = self._classes[label]
            image = LabelledImage(
                file=f"{name}_{number:05d}.png",
                label=label,
                class_name=name,
                source_record=number,
                source_name=names[row] if names else None,
                pixels=pixels[row],
            )
            self._write(image)
            self._lines.append(image.manifest_line())
            if len(self._samples[label]) < SAMPLES_A_CLASS:
                self._samples[label].append(small(pixels[row]))

    def _write(self, image: LabelledImage) -> None:
        mine = self._share.has(image.file)
        if not mine and self._recordio is None:
            return
        png = encode(image.pixels)
        if mine:
            (self._folder / image.file).write_bytes(png)
        if self._recordio:
            self._recordio.write(record(len(self._lines), image.label, png))

    def finish(self) -> None:
        """Write the `.lst` file and the manifest, in the order of the records."""
        if self._recordio:
            self._recordio.close()
        listed = "".join(f"{n}\t{line['label']}\t{line['file']}\n" for n, line in enumerate(self._lines))
        (self._folder / f"{self.channel}.lst").write_text(listed, encoding="utf-8")
        manifest = "".join(json.dumps(line) + "\n" for line in self._lines)
        (self._folder / MANIFEST).write_text(manifest, encoding="utf-8")

    def samples(self) -> list[Row]:
        """The first images of each class, for a contact sheet."""
        return [
            Row(f"{self.channel}: {name}", [Tile(pixels) for pixels in samples])
            for name, samples in zip(self._classes, self._samples, strict=True)
        ]
