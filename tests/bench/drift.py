"""Monitoring: how fast capture files are read, and how often drift is seen where there is none, or missed.

Reading is beside what one would write by hand, pandas over `json.loads`, each in a process of its own. The
verdicts are of drawn numbers: brightness normal with a deviation of 30, a baseline of 1,000 training images
and 200 validation answers.
"""

from __future__ import annotations

import base64
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench.etl import ROOT

FILES, RECORDS_A_FILE = 400, 100
ROUNDS = 5
DEVIATION = 30
SAMPLES, SHIFTED_SAMPLES = 2_000, 600


def main() -> None:
    console = Console()
    with tempfile.TemporaryDirectory(prefix="bench-drift-") as folder:
        written = _write(Path(folder))
        _show_reading(console, folder, written)
    _show_verdicts(console)


def _write(folder: Path) -> int:
    """Capture files of images of 32 x 24 pixels; how many bytes they have."""
    rng, total = np.random.default_rng(0), 0
    for file in range(FILES):
        day, hour = 1 + file // 24, file % 24
        lines = [_line(rng, f"2026-02-{day:02}T{hour:02}:00:{n % 60:02}Z") for n in range(RECORDS_A_FILE)]
        path = folder / f"AllTraffic/2026/02/{day:02}/{hour:02}/00-00-000-{file}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        total += path.write_text("".join(lines))
    return total


def _line(rng: np.random.Generator, moment: str) -> str:
    image = base64.b64encode(rng.bytes(2_400)).decode()  # as long as such a PNG of noise
    sure = rng.uniform(0.5, 1)
    answer = json.dumps([sure, 1 - sure])
    data = {
        "endpointInput": {"observedContentType": "image/png", "data": image, "encoding": "BASE64"},
        "endpointOutput": {"observedContentType": "application/json", "data": answer, "encoding": "JSON"},
    }
    record = {"captureData": data, "eventMetadata": {"eventId": "e", "inferenceTime": moment}}
    return json.dumps(record) + "\n"


def _show_reading(console: Console, folder: str, written: int) -> None:
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            command = [sys.executable, "-m", "tests.bench.drift", way, folder]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
            found[way].append(json.loads(done.stdout))
    records = f"{FILES * RECORDS_A_FILE:,} records, {written / 1e6:.0f} MB; medians of {ROUNDS} runs"
    table = Table("way", "seconds", "MB above the imports", "to json.loads", title=records)
    seconds, memory = (
        {way: float(np.median([run[what] for run in runs])) for way, runs in found.items()}
        for what in ("seconds", "mb")
    )
    for way in WAYS:
        table.add_row(
            way, f"{seconds[way]:.2f}", f"{memory[way]:.0f}", f"{seconds[way] / seconds['loads']:.2f}x"
        )
    console.print(table)


def _show_verdicts(console: Console) -> None:
    table = Table("images", "shift, deviations", "called drift", "of samples", title="Verdicts")
    for images in (30, 60, 200, 2_000):
        called = sum("drift" in _verdicts(images, 0, seed).values() for seed in range(SAMPLES))
        table.add_row(f"{images:,}", "0", f"{called}", f"{SAMPLES:,}")
    for images, deviations in ((30, 1.0), (60, 1.0), (60, 0.5), (200, 0.5), (1_000, 0.5), (1_000, 0.25)):
        called = sum(
            _verdicts(images, deviations, seed)["brightness"] == "drift" for seed in range(SHIFTED_SAMPLES)
        )
        table.add_row(f"{images:,}", f"{deviations:g}", f"{called}", f"{SHIFTED_SAMPLES:,}")
    console.print(table)


def _verdicts(images: int, deviations: float, seed: int) -> dict[str, str]:
    from monitoring.baseline import Baseline
    from monitoring.drift import compare
    from monitoring.limits import Limits

    rng = np.random.default_rng(seed)

    def light(count: int, shift: float = 0) -> np.ndarray:
        return rng.normal(120 + shift * DEVIATION, DEVIATION, count).clip(0, 255)

    def sure(count: int) -> np.ndarray:
        return 0.5 + 0.5 * rng.beta(5, 1.2, count)

    histogram, _ = np.histogram(light(1_000), bins=32, range=(0, 256))
    base = Baseline({"a": 500, "b": 500}, histogram, sure(200))
    found = compare(light(images, deviations), sure(images), {"a": images, "b": 0}, base, Limits())
    return {each.feature: each.verdict for each in found}


# -- what the processes do ---------------------------------------------------------------------------------


def _read(folder: str) -> int:
    from monitoring.capture import read_captures

    return len(read_captures(folder).table)


def _loads(folder: str) -> int:
    import pandas as pd

    rows = []
    for path in sorted(Path(folder).rglob("*.jsonl")):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            data, metadata = record["captureData"], record["eventMetadata"]
            answer = json.loads(data["endpointOutput"]["data"])
            rows.append((metadata["inferenceTime"], data["endpointInput"]["data"], answer, max(answer)))
    table = pd.DataFrame(rows, columns=["time", "input", "probabilities", "confidence"])
    table["time"] = pd.to_datetime(table["time"])
    return len(table)


WAYS = {"read_captures": _read, "loads": _loads}


def _measured(way: str, folder: str) -> None:
    import pandas  # noqa: F401 - its import is not what is measured

    import monitoring.capture  # noqa: F401

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    assert WAYS[way](folder) == FILES * RECORDS_A_FILE
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "mb": (peak - before) / 1024}))


if __name__ == "__main__":
    if sys.argv[1:]:
        _measured(*sys.argv[1:])
    else:
        main()
