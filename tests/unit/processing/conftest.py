"""Archives small enough to make in each test, and the tools to spoil them."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from processing import pack
from processing.cifar100 import FINE_LABEL_NAMES

BICYCLE = FINE_LABEL_NAMES.index("bicycle")
MOTORCYCLE = FINE_LABEL_NAMES.index("motorcycle")


def make_split(records: int, seed: int, name: str) -> pack.Split:
    """Labels that take turns through five classes, random pixels."""
    rng = np.random.default_rng(seed)
    labels = np.resize([BICYCLE, 0, MOTORCYCLE, 99, 17], records)
    pixels = rng.integers(0, 256, (records, 3, 32, 32), dtype=np.uint8)
    return pack.Split(labels, pixels, [f"{name}_s_{n:06d}.png" for n in range(records)])


@pytest.fixture(scope="session")
def small_split():
    return make_split


@pytest.fixture(scope="session")
def train() -> pack.Split:
    return make_split(1203, 1, "train")


@pytest.fixture(scope="session")
def test() -> pack.Split:
    return make_split(40, 2, "test")


@pytest.fixture(scope="session")
def archives(tmp_path_factory, train, test) -> dict[str, Path]:
    """Both versions of the same records; not to be changed."""
    folder = tmp_path_factory.mktemp("archives")
    paths = {version: folder / f"cifar-100-{version}.tar.gz" for version in pack.VERSIONS}
    for version, path in paths.items():
        pack.write(path, train, test, version)
    return paths


@pytest.fixture
def make_archive(tmp_path):
    """Writes a tar.gz of the given members; a member is (name, content) or a TarInfo."""

    def make(*members, name="made.tar.gz") -> Path:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for member in members:
                if isinstance(member, tarfile.TarInfo):
                    tar.addfile(member)
                    continue
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
        path = tmp_path / name
        path.write_bytes(gzip.compress(buffer.getvalue(), 1))
        return path

    return make


@pytest.fixture
def members(archives):
    """(name, content) of an archive's members."""

    def read(version) -> list[tuple[str, bytes]]:
        with tarfile.open(archives[version]) as tar:
            return [(member.name, tar.extractfile(member).read()) for member in tar]

    return read


@pytest.fixture(autouse=True)
def _no_home_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))
    monkeypatch.delenv("SCONES_CACHE_DIR", raising=False)
    monkeypatch.delenv("SCONES_MIRROR", raising=False)
