"""Channels of generated images, in the layout that the PrepareData job writes."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

# Several tests run at once: threads of each would wait for each other at every layer.
torch.set_num_threads(1)


def write_channel(folder: Path, images: int, classes: int = 2, size: int = 16, seed: int = 0) -> Path:
    """Noise with a bright bar whose direction is the class; a small network learns it in seconds."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    rows = []
    for index in range(images):
        label = index % classes
        pixels = random.integers(0, 120, (size, size, 3), dtype=np.uint8)
        place = int(random.integers(2, size - 4))
        bar = (slice(None), slice(place, place + 3)) if label == 0 else (slice(place, place + 3), slice(None))
        pixels[bar] += 30 + 100 * (label == 0) + 25 * label
        Image.fromarray(pixels).save(folder / f"{index:04}.png")
        rows.append(f"{index}\t{label}\t{index:04}.png\n")
    (folder / f"{folder.name}.lst").write_text("".join(rows))
    return folder


@pytest.fixture(scope="session")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the channels `train` (48 images) and `validation` (16)."""
    root = tmp_path_factory.mktemp("channels")
    write_channel(root / "train", 48)
    write_channel(root / "validation", 16, seed=1)
    return root


@pytest.fixture
def keep_process_settings() -> Iterator[None]:
    """Threads, determinism and signal handlers, which a whole run of a script sets, as they were."""
    threads = torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    for number, handler in handlers.items():
        signal.signal(number, handler)
