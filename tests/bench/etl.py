"""PrepareData on a full-size archive, beside a bare gunzip and the way a course's notebook does it.

Every figure comes from a process of its own, started in turn: seconds from start to exit, processor seconds
of all its threads, and the peak of memory above what the interpreter holds once the imports are done (for
PrepareData, which imports while it works, a process of its own says how much that is). The ratios are of
medians from one run.

What the processes write stays until the end: ext4 gives a deleted file's inode to no other for minutes, and
searches past all of those for each new file, which would be most of what is measured (a second for 1,200).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # not in the processes that are measured
    from rich.console import Console

ROOT = Path(__file__).parents[2]
ROUNDS = 5
CLASSES = "bicycle,motorcycle"
# The third is the python version as Python 3 packs it: byte strings become text, a third longer.
MEMORY_GOAL_MB = {"binary": 64, "python": 256, "python3": 256}
GUNZIP_GOAL, NOTEBOOK_GOAL = 1.5, 4.0


@dataclass(frozen=True)
class Figures:
    """Of one process."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def main() -> None:
    from rich.console import Console

    console = Console()
    with tempfile.TemporaryDirectory(prefix="bench-etl-") as folder:
        console.print("making full-size archives: 60,000 records each …")
        _run("make", folder)
        found = _measure(Path(folder), console)
    _show(console, found)


def _measure(folder: Path, console: Console) -> dict[tuple[str, str], list[Figures]]:
    """Rounds in turn, so that a busy moment of the machine hits all alike."""
    found: dict[tuple[str, str], list[Figures]] = {}
    imports_mb = _run("imports", "", "")["before_mb"]
    for number in range(ROUNDS):
        console.print(f"round {number + 1} of {ROUNDS} …")
        for version in MEMORY_GOAL_MB:
            archive = str(folder / f"{version}.tar.gz")
            for way in ("isal", "zlib", "prepare", "notebook"):
                if way == "notebook" and version == "binary":
                    continue  # it reads pickles
                output = tempfile.mkdtemp(dir=folder)
                run = _run(way, archive, output)
                before = imports_mb if way == "prepare" else run["before_mb"]
                figures = Figures(run["seconds"], run["cpu_seconds"], run["peak_mb"] - before)
                found.setdefault((way, version), []).append(figures)
    return found


def _run(way: str, *arguments: str) -> dict[str, float]:
    """This module again, as the process to be measured; memory is of the whole process."""
    before = os.times()
    started = time.perf_counter()
    completed = subprocess.run(
        [sys.executable, "-m", "tests.bench.etl", way, *arguments],
        cwd=ROOT,
        # What each imports is compiled once, in the first round: else most of the notebook's way is that.
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        capture_output=True,
        text=True,
    )
    seconds, after = time.perf_counter() - started, os.times()
    if completed.returncode:
        raise RuntimeError(f"{way}: {completed.stderr}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": seconds, "cpu_seconds": cpu, **json.loads(completed.stdout.splitlines()[-1])}


def _notebook(found: dict[tuple[str, str], list[Figures]], version: str) -> float:
    """Seconds of the notebook's way, which reads no binary version: there, of the official python version."""
    runs = found["notebook", "python" if version == "binary" else version]
    return statistics.median(figures.seconds for figures in runs)


def _show(console: Console, found: dict[tuple[str, str], list[Figures]]) -> None:
    def median(way: str, version: str, what: str) -> float:
        return statistics.median(getattr(figures, what) for figures in found[way, version])

    from rich.table import Table

    table = Table(title=f"60,000 records, 1,200 kept; medians of {ROUNDS} runs")
    for column in (
        "version",
        "what",
        "seconds",
        "processor s",
        "peak MB",
        "to bare isal",
        "faster than notebook",
    ):
        table.add_column(column, justify="left" if column in ("version", "what") else "right")
    for way, version in found:
        seconds = median(way, version, "seconds")
        table.add_row(
            version,
            NAMES[way],
            f"{seconds:.2f}",
            f"{median(way, version, 'cpu_seconds'):.2f}",
            f"{median(way, version, 'peak_mb'):.0f}",
            f"{seconds / median('isal', version, 'seconds'):.2f}x",
            f"{_notebook(found, version) / seconds:.1f}x",
        )
    console.print(table)
    for version, limit in MEMORY_GOAL_MB.items():
        ratio = median("prepare", version, "seconds") / median("isal", version, "seconds")
        gain = _notebook(found, version) / median("prepare", version, "seconds")
        peak = median("prepare", version, "peak_mb")
        for text, good in (
            (f"{ratio:.2f}x of a bare isal gunzip (goal: at most {GUNZIP_GOAL})", ratio <= GUNZIP_GOAL),
            (
                f"{gain:.1f}x as fast as the notebook (goal: at least {NOTEBOOK_GOAL:.0f})",
                gain >= NOTEBOOK_GOAL,
            ),
            (f"{peak:.0f} MB above the imports (goal: at most {limit})", peak <= limit),
        ):
            console.print(f"{version}: {text}: {'reached' if good else 'MISSED'}")
    load = os.getloadavg()[0]
    console.print(f"load average {load:.1f} on {os.cpu_count()} processors" + (": busy" if load > 2 else ""))


# -- what the processes do: imports here, since they are part of what is measured --------------------------


def make(folder: str) -> Callable[[], None]:
    """Both versions, of images as hard to compress as photographs: 169 MB of gzip, as the official ones."""
    import numpy as np

    from processing import pack

    def split(records: int, name: str, rng: np.random.Generator) -> pack.Split:
        labels = np.tile(np.arange(100), records // 100)
        rng.shuffle(labels)
        smooth = rng.integers(10, 100, (records, 3, 4, 4), dtype=np.uint8).repeat(8, axis=2).repeat(8, axis=3)
        grain = rng.integers(0, 64, (2, records, 3, 32, 32), dtype=np.uint8)
        names = [f"{name}_s_{number:06d}.png" for number in range(records)]
        return pack.Split(labels, smooth + grain[0] + grain[1], names)

    def work() -> None:
        rng = np.random.default_rng(0)
        train, test = split(50_000, "train", rng), split(10_000, "test", rng)
        for version in pack.VERSIONS:
            pack.write(Path(folder) / f"{version}.tar.gz", train, test, version, level=4)
        _repack(Path(folder))

    return work


def _repack(folder: Path) -> None:
    """The python version through Python 3's `pickle` in protocol 2."""
    import io
    import pickle
    import tarfile

    with (
        tarfile.open(folder / "python.tar.gz") as old,
        tarfile.open(folder / "python3.tar.gz", "w:gz", compresslevel=4) as new,
    ):
        for member in old:
            file = old.extractfile(member)
            assert file is not None
            content = pickle.dumps(pickle.load(file, encoding="bytes"), 2)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))


def isal(archive: str, _output: str) -> Callable[[], None]:
    from isal import igzip

    return lambda: _drain(igzip.open, archive)


def zlib(archive: str, _output: str) -> Callable[[], None]:
    import gzip

    return lambda: _drain(gzip.open, archive)


def _drain(opener: Callable, archive: str) -> None:
    with opener(archive, "rb") as file:
        while file.read(1 << 20):
            pass


def prepare(archive: str, output: str) -> Callable[[], None]:
    from processing.prepare import main as prepare_main
    from processing.prepare import set_up_process

    set_up_process()
    sys.argv[1:] = ["--source", archive, "--classes", CLASSES, "--output-dir", f"{output}/out"]
    return prepare_main


def imports(_archive: str, _output: str) -> Callable[[], None]:
    import processing.prepare
    import processing.selection  # noqa: F401

    return lambda: None


def notebook(archive: str, output: str) -> Callable[[], None]:
    """Extract all, unpickle, a data frame, an image file at a time through Matplotlib."""
    import pickle
    import tarfile

    import matplotlib
    import numpy as np
    import pandas as pd

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    def work() -> None:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(output, filter="data")
        for split in ("train", "test"):
            with open(f"{output}/cifar-100-python/{split}", "rb") as file:
                table = pickle.load(file, encoding="bytes")
            frame = pd.DataFrame({"name": table[b"filenames"], "label": table[b"fine_labels"]})
            chosen = frame[frame["label"].isin((8, 48))]
            Path(f"{output}/{split}").mkdir()
            for row, name in chosen["name"].items():
                pixels = table[b"data"][row]
                image = np.dstack(
                    [pixels[plane * 1024 : (plane + 1) * 1024].reshape(32, 32) for plane in range(3)]
                )
                plt.imsave(f"{output}/{split}/{name.decode()}", image)

    return work


NAMES = {
    "isal": "bare gunzip, isal",
    "zlib": "bare gunzip, zlib",
    "prepare": "PrepareData",
    "notebook": "the notebook's way",
}
WAYS = {
    "make": make,
    "isal": isal,
    "zlib": zlib,
    "prepare": prepare,
    "imports": imports,
    "notebook": notebook,
}


def _memory_mb(field: str) -> float:
    """`VmRSS` or its peak `VmHWM` of this process, in MB of 2^20 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def _measured(way: str, arguments: list[str]) -> None:
    work = WAYS[way](*arguments)
    before = _memory_mb("VmRSS")
    work()
    print(json.dumps({"before_mb": before, "peak_mb": _memory_mb("VmHWM")}))
    if way == "prepare":  # as the job's command does
        from processing.job import end

        end(0)


if __name__ == "__main__":
    if sys.argv[1:]:
        _measured(sys.argv[1], sys.argv[2:])
    else:
        main()
