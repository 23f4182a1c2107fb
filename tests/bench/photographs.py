"""PrepareData on photographs, beside the loop that one would write: extract, open, resize, save."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS, SIZE, SIDE = 200, (2_000, 1_500), 64
CLASSES = ("bicycle", "motorcycle")
ROUNDS = 3


def main() -> None:
    table = Table(
        title=f"{PHOTOGRAPHS} JPEGs of {SIZE[0]} x {SIZE[1]} pixels to {SIDE}, {os.cpu_count()} cores"
    )
    for column in ("what", "seconds", "photographs a second", "as fast as the loop"):
        table.add_column(column, justify="right" if column != "what" else "left")
    found: dict[str, list[float]] = {"loop": [], "prepare": []}
    with tempfile.TemporaryDirectory(prefix="bench-photographs-") as folder:
        archive = _make(Path(folder))
        for number in range(ROUNDS):  # in turn, so that a busy moment of the machine hits both alike
            for way, seconds in found.items():
                seconds.append(_seconds(way, archive, Path(folder) / f"{way}{number}"))
    medians = {way: statistics.median(seconds) for way, seconds in found.items()}
    for way, name in (("loop", "extract, open, resize, save"), ("prepare", "PrepareData")):
        seconds = medians[way]
        table.add_row(
            name, f"{seconds:.1f}", f"{PHOTOGRAPHS / seconds:.0f}", f"{medians['loop'] / seconds:.2f}x"
        )
    Console().print(table)


def _make(folder: Path) -> Path:
    """Noise that is smooth over some pixels, as a camera's is: about half a megabyte each."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    path = folder / "photographs.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for number in range(PHOTOGRAPHS):
            coarse = rng.integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8, 3), dtype=np.uint8)
            image = folder / "one.jpg"
            Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).save(image, quality=90)
            archive.add(image, f"photographs/{CLASSES[number % 2]}/{number}.jpg")
    return path


def _seconds(way: str, archive: Path, output: Path) -> float:
    """A process from its start to its exit."""
    commands = {
        "loop": ["-m", "tests.bench.photographs", str(archive), str(output)],
        "prepare": [
            *("-m", "processing.prepare", "--source", str(archive), "--classes", ",".join(CLASSES)),
            *("--image-size", str(SIDE), "--output-dir", str(output)),
        ],
    }
    started = time.perf_counter()
    subprocess.run([sys.executable, *commands[way]], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def loop(archive: str, output: str) -> None:
    """Without a list, a split, a manifest or statistics."""
    from PIL import Image

    with tarfile.open(archive, "r:gz") as tar:
        tar.extractall(output, filter="data")
    for path in sorted(Path(output).rglob("*.jpg")):
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        resized.save(path.with_suffix(".png"))


if __name__ == "__main__":
    if sys.argv[1:]:
        loop(*sys.argv[1:])
    else:
        main()
