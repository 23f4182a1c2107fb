"""What is explained: the network of an archive as it is served, and endpoints."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from monitoring.explain.model import ArchiveError, black_box, network, png, read
from training import inference
from training.model import ModelCard, Network, save_model

CLASSES = ("bicycle", "motorcycle", "unicycle")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_model(
        made,
        Network(len(CLASSES), (4, 8, 8)),
        ModelCard(classes=CLASSES, channels=(4, 8, 8), temperature=0.3),
    )
    return made


def pack(folder: Path, archive: Path, *names: str) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        for name in names:
            tar.add(folder / name.removeprefix("./"), name)
    return archive


@pytest.mark.parametrize("prefix", ["", "./"])
@pytest.mark.parametrize("size", [(32, 32), (50, 20)])
def test_the_network_answers_as_the_endpoint_would(folder: Path, tmp_path: Path, prefix: str, size):
    model = network(pack(folder, tmp_path / "model.tar.gz", f"{prefix}model.json", f"{prefix}model.pt"))
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    served = inference.predict_fn(inference.Images([pixels]), inference.model_fn(str(folder)))
    image = torch.from_numpy(model.sees(pixels).copy()).permute(2, 0, 1)[None]
    assert model.classes == CLASSES
    np.testing.assert_allclose(model.probabilities(image)[0].numpy(), served, rtol=1e-4)


def test_code_in_the_archive_is_not_run(folder: Path, tmp_path: Path):
    trap = tmp_path / "trap"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(f"open({str(trap)!r}, 'w')")
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for source, name in ((folder, "model.pt"), (folder, "model.json"), (tmp_path, "code/inference.py")):
            tar.add(source / name, name)
    network(archive)
    assert not trap.exists()


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"\x1f\x8b\x08\x00cut"], ids=["empty", "text", "cut"]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "model.tar.gz").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"cannot be unpacked|is no gzip archive"):
        network(tmp_path / "model.tar.gz")


@pytest.mark.parametrize("place", [*(share / 10 for share in range(1, 10)), 0.9999])
def test_a_damaged_archive_is_refused(folder: Path, tmp_path: Path, place: float):
    archive = pack(folder, tmp_path / "model.tar.gz", "model.json", "model.pt")
    content = bytearray(archive.read_bytes())
    content[int(len(content) * place)] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="the model archive cannot be unpacked: it is damaged"):
        network(archive)


@pytest.mark.parametrize("names", [(), ("model.json",), ("model.pt",)], ids=str)
def test_another_models_archive_is_refused(folder: Path, tmp_path: Path, names):
    with pytest.raises(ArchiveError, match=r"the model archive has no model\.(json|pt): this project's"):
        network(pack(folder, tmp_path / "model.tar.gz", *names))


def test_an_endpoint_is_asked_with_the_image_itself():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    asked: list[np.ndarray] = []

    def ask(body: bytes) -> list[float]:
        assert body.startswith(b"\x89PNG")
        asked.append(read(body))
        return [asked[-1].mean() / 255, 1 - asked[-1].mean() / 255]

    answers = black_box(("a", "b"), ask).probabilities(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    assert sorted(image.tobytes() for image in asked) == sorted(image.tobytes() for image in pixels)
    np.testing.assert_allclose(answers[:, 0], pixels.mean(axis=(1, 2, 3)) / 255)  # in the order of the images


def test_a_large_image_is_shrunk_before_an_endpoint_is_asked_hundreds_of_times():
    endpoint = black_box(("a", "b"), lambda _: [0.5, 0.5])
    assert endpoint.sees(np.zeros((1000, 4000, 3), np.uint8)).shape == (64, 256, 3)
    assert endpoint.sees(np.zeros((1, 4000, 3), np.uint8)).shape == (1, 256, 3)
    small = np.zeros((20, 30, 3), np.uint8)
    assert endpoint.sees(small) is small


def test_png_keeps_every_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert (read(png(pixels)) == pixels).all()
    assert io.BytesIO(png(pixels)).read(4) == b"\x89PNG"
