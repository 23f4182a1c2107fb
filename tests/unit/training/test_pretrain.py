"""Pretraining on other classes: what is read, what of it goes on, and what an interruption leaves."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training.test_train import TERMINATED, arguments, interrupt_after, same, weights
from training import checkpoint, train
from training.crossvalidate import Folds, Worker, answers, split
from training.data import Channel, ChannelError, read_arrays
from training.fit import Trainer
from training.pretrain import pretrain, trunk_of
from training.recipe import Recipe

CPU = torch.device("cpu")
RECIPE = Recipe(width=4, batch_size=8, epochs=2, pretrain_epochs=2, precision="float32")
pytestmark = pytest.mark.usefixtures("keep_process_settings")


def channel(images: int = 24, classes: int = 2, seed: int = 0) -> Channel:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return Channel(pixels, torch.arange(images) % classes)


def write_pretrain(folder: Path, images: int = 40, classes: int = 5) -> Path:
    """As processing.prepare --pretrain writes it."""
    folder.mkdir(parents=True)
    data = channel(images, classes, seed=7)
    np.save(folder / "images.npy", data.images.permute(0, 2, 3, 1).numpy())
    np.save(folder / "labels.npy", data.labels.numpy())
    return folder


def test_training_begins_with_the_trunk_and_a_head_of_its_own(tmp_path: Path):
    trunk = pretrain(RECIPE, channel(40, 5), CPU, tmp_path, lambda _: None, lambda: False)
    assert trunk is not None
    trainer = Trainer(RECIPE, channel(), 2, CPU, trunk)
    assert same(trunk_of(trainer.network), trunk)
    assert trainer.network.head.out_features == 2
    assert not trainer.network.whiten.weight.requires_grad
    rates = [
        [o.param_groups[0]["peak"] for o in Trainer(RECIPE, channel(), 2, CPU, t).optimisers]
        for t in (None, trunk)
    ]
    assert rates[1] == pytest.approx([rate * RECIPE.fine_tuning for rate in rates[0]])


def test_cross_validation_begins_with_the_trunk_too():
    data = channel()
    trunk = trunk_of(Trainer(RECIPE, channel(40, 5, seed=3), 5, CPU).network)
    parts = split(data.labels, 2, 0)
    with Worker() as worker:
        worker.begin(Folds(RECIPE, data, parts, 2, CPU, 1, trunk))
        found = next(worker.results(wait=True))
    torch.set_num_threads(1)
    expected, without = (answers(RECIPE, data, parts[0], 2, CPU, trunk=t) for t in (trunk, None))
    assert torch.equal(found, expected)
    assert not torch.equal(found, without)


@pytest.mark.parametrize("steps", [3, 7, 12])
def test_interrupted_job_goes_on_to_the_same_weights(
    channels: Path, tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch, capsys
):
    """40 images in steps of 16 for 4 epochs of pretraining: in its second, its last, and in the training."""
    more = ("--pretrain", str(write_pretrain(tmp_path / "pretrain")))
    whole, parts, without = (tmp_path / name for name in ("whole", "parts", "without"))
    (parts / "checkpoints").mkdir(parents=True)
    assert train.main(arguments(channels, whole, *more)) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, steps)
        assert train.main(arguments(channels, parts, *more)) == TERMINATED
    assert train.main(arguments(channels, parts, *more)) == 0
    assert same(weights(whole), weights(parts))
    assert train.main(arguments(channels, without)) == 0
    assert not same(weights(whole), weights(without))
    # The job's metrics are the training's own.
    lines = [line for line in capsys.readouterr().out.splitlines() if "pretraining, epoch" in line]
    assert lines
    assert not any("train:loss" in line for line in lines)


def test_checkpoint_with_another_trunk_is_not_taken(
    channels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "checkpoints").mkdir()
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        assert train.main(arguments(channels, tmp_path)) == TERMINATED
    more = ("--pretrain", str(write_pretrain(tmp_path / "pretrain")))
    assert train.main(arguments(channels, tmp_path, *more)) == 0
    assert "other hyperparameters" in capsys.readouterr().out
    assert (tmp_path / "checkpoints" / "pretrain" / checkpoint.NAME).is_file()


def header_that_is_no_python(folder: Path) -> None:
    content = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(content.replace(b"{'descr'", b"(" * 8))


def several_arrays(folder: Path) -> None:
    np.savez(folder / "images.npz", x=np.zeros(3))
    (folder / "images.npz").replace(folder / "images.npy")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "labels.npy").unlink(), "labels.npy is missing"),
        (
            lambda folder: (folder / "images.npy").write_bytes(b"no array"),
            "images.npy is no readable .npy file",
        ),
        (header_that_is_no_python, "images.npy is no readable .npy file"),
        (lambda folder: np.save(folder / "labels.npy", np.zeros(3, np.int64)), "is expected"),
        (lambda folder: np.save(folder / "labels.npy", np.full(40, -1)), "a label outside 0 to 9,999"),
        (lambda folder: np.save(folder / "labels.npy", np.full(40, 10**7)), "a label outside 0 to 9,999"),
        (lambda folder: np.save(folder / "labels.npy", np.full(40, 2**64 - 1, np.uint64)), "a label outside"),
        (lambda folder: np.save(folder / "labels.npy", np.zeros((40, 1), np.int64)), "no row of numbers"),
        (lambda folder: np.save(folder / "labels.npy", np.int64(3)), "no row of numbers"),
        (several_arrays, "holds no arrays"),
        (
            lambda folder: (folder / "images.npy").write_bytes(b"PK\3\4"),
            "images.npy is no readable .npy file",
        ),
        (
            lambda folder: np.save(folder / "images.npy", np.zeros((40, 8, 8, 3), np.uint8)),
            "train channel's size",
        ),
    ],
)
def test_bad_channel_is_named(
    channels: Path, tmp_path: Path, spoil, says: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SM_OUTPUT_DIR", str(tmp_path))
    spoil(write_pretrain(tmp_path / "pretrain"))
    assert train.main(arguments(channels, tmp_path, "--pretrain", str(tmp_path / "pretrain"))) == 1
    assert says in (tmp_path / "failure").read_text()


def test_a_folder_that_is_not_there_is_told(
    channels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train.main(arguments(channels, tmp_path, "--pretrain", str(tmp_path / "pretrian"))) == 1
    assert "pretrian/images.npy is missing" in capsys.readouterr().err


def test_one_image_is_too_few_to_pretrain_on(tmp_path: Path):
    """A small one has one value a channel at the end, which batch norm cannot take in training."""
    folder = write_pretrain(tmp_path / "pretrain", images=1, classes=1)
    with pytest.raises(ChannelError, match="fewer than two images"):
        read_arrays(folder, (16, 16))
