"""The training job through its own command line: what it reads, logs, writes and says when it fails."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from training import checkpoint, fit, train
from training.crossvalidate import Worker
from training.model import load_model, to_bytes

FAST = ["--epochs", "2", "--width", "4", "--batch-size", "16", "--threads", "1", "--classes", "upright,flat"]
# The cross-validation is a process of its own, which takes seconds to start: only where it is the subject.
FAST += ["--calibration-folds", "0"]
WITH_FOLDS = ["--calibration-folds", "2"]
TERMINATED = 128 + signal.SIGTERM
METRICS = ("train:loss", "train:accuracy", "validation:loss", "validation:accuracy")
pytestmark = pytest.mark.usefixtures("keep_process_settings")


def arguments(channels: Path, folder: Path, *more: str) -> list[str]:
    return [
        *("--train", str(channels / "train"), "--validation", str(channels / "validation")),
        *("--model-dir", str(folder / "model"), "--output-data-dir", str(folder / "data")),
        *("--checkpoint-dir", str(folder / "checkpoints"), *FAST, *more),
    ]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model" / "model.pt", weights_only=True)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_leaves_a_model_with_its_serving_code(
    channels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train.main(arguments(channels, tmp_path, *WITH_FOLDS)) == 0
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert card["classes"] == ["upright", "flat"]
    assert card["image_size"] == [16, 16]
    assert card["trained"]["images"] == 48
    assert sorted(path.name for path in (tmp_path / "model" / "code").iterdir()) == [
        "images.py",
        "inference.py",
        "model.py",
    ]
    assert not list(tmp_path.rglob("*.tmp"))
    assert (tmp_path / "data" / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    metrics = json.loads((tmp_path / "data" / "metrics.json").read_text())
    assert metrics["calibration"]["images"] == 48
    assert card["temperature"] == metrics["calibration"]["temperature"]
    assert card["threshold"] == metrics["calibration"]["threshold"]
    history = metrics["epochs"]
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch=")]
    for line, epoch in zip(lines, history, strict=True):
        for name in METRICS:
            found = re.findall(f"{name}=([0-9.]+)", line)
            assert len(found) == 1
            assert float(found[0]) == pytest.approx(epoch[name.replace(":", "_")], abs=1e-4)


def test_without_matplotlib_only_the_picture_is_missing(
    channels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert train.main(arguments(channels, tmp_path)) == 0
    assert "no learning curves" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["metrics.json"]


def test_without_cross_validation_confidences_are_as_they_come(channels: Path, tmp_path: Path):
    assert train.main(arguments(channels, tmp_path)) == 0
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert (card["temperature"], card["threshold"]) == (1.0, None)


def test_learns(channels: Path, tmp_path: Path):
    assert train.main(arguments(channels, tmp_path, "--epochs", "20", "--augmentation", "0")) == 0
    last = json.loads((tmp_path / "data" / "metrics.json").read_text())["epochs"][-1]
    assert last["validation_accuracy"] >= 0.9


def test_same_seed_gives_the_same_weights(channels: Path, tmp_path: Path):
    for name, seed in (("one", "3"), ("two", "3"), ("other", "4")):
        assert train.main(arguments(channels, tmp_path / name, "--seed", seed)) == 0
    assert same(weights(tmp_path / "one"), weights(tmp_path / "two"))
    assert not same(weights(tmp_path / "one"), weights(tmp_path / "other"))


def interrupt_after(
    monkeypatch: pytest.MonkeyPatch, steps: int, number: signal.Signals = signal.SIGTERM
) -> None:
    """A signal, sent by the process to itself after so many steps."""
    advance = train.Trainer.advance
    left = [steps]

    def counted(self: train.Trainer) -> None:
        advance(self)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(train.Trainer, "advance", counted)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_interrupted_run_goes_on_to_the_same_weights(
    channels: Path, tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch
):
    """48 images in steps of 16, so the signal falls within an epoch and between two."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train.main(arguments(channels, whole)) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, steps)
        assert train.main(arguments(channels, parts)) == TERMINATED
    assert not (parts / "model" / "model.json").exists()
    assert train.main(arguments(channels, parts)) == 0
    assert same(weights(whole), weights(parts))
    kept, expected = (
        [
            {**epoch, "seconds": 0}
            for epoch in json.loads((run / "data" / "metrics.json").read_text())["epochs"]
        ]
        for run in (parts, whole)
    )
    assert kept == expected


def test_interrupted_cross_validation_goes_on_to_the_same_answers(
    channels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Interrupted once before any fold is done, and once after the first of three."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    more = ("--calibration-folds", "3")
    assert train.main(arguments(channels, whole, *more)) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        assert train.main(arguments(channels, parts, *more)) == TERMINATED
    with monkeypatch.context() as patch:

        def one_of_them(self: Worker, **_: object) -> Iterator[torch.Tensor]:
            yield next(results(self, wait=True))
            os.kill(os.getpid(), signal.SIGTERM)

        results = Worker.results
        patch.setattr(Worker, "results", one_of_them)
        assert train.main(arguments(channels, parts, *more)) == TERMINATED
    _, state = checkpoint._read(parts / "checkpoints" / checkpoint.NAME)
    assert len(state["held_out"]) == 1
    assert train.main(arguments(channels, parts, *more)) == 0
    one, other = (
        json.loads((run / "data" / "metrics.json").read_text())["calibration"] for run in (whole, parts)
    )
    assert one == other
    assert same(weights(whole), weights(parts))


def test_a_fold_is_kept_as_soon_as_it_is_done(
    channels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Once the epochs are over: an end without a signal, as for want of memory, saves nothing."""
    (tmp_path / "checkpoints").mkdir()
    more = ("--calibration-folds", "3")

    class Killed(BaseException):
        pass

    def one_of_them(self: Worker, *, wait: bool, **_: object) -> Iterator[torch.Tensor]:
        if wait:
            yield next(results(self, wait=True))
            raise Killed

    results = Worker.results
    with monkeypatch.context() as patch:
        patch.setattr(Worker, "results", one_of_them)
        with pytest.raises(Killed):
            train.main(arguments(channels, tmp_path, *more))
    _, state = checkpoint._read(tmp_path / "checkpoints" / checkpoint.NAME)
    assert len(state["held_out"]) == 1
    assert train.main(arguments(channels, tmp_path, *more)) == 0


def test_ctrl_c_stops_as_a_signal_does(channels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    interrupt_after(monkeypatch, 2, signal.SIGINT)
    assert train.main(arguments(channels, tmp_path)) == 128 + signal.SIGINT
    assert not (tmp_path / "model" / "model.json").exists()


def test_checkpoint_of_another_precision_is_not_taken(
    channels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """As `auto` comes to another one on the next machine."""
    (tmp_path / "checkpoints").mkdir()
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        patch.setattr(fit, "precision_for", lambda *_: torch.float32)
        assert train.main(arguments(channels, tmp_path)) == TERMINATED
    monkeypatch.setattr(fit, "precision_for", lambda *_: torch.bfloat16)
    assert train.main(arguments(channels, tmp_path)) == 0
    assert "going on from" not in capsys.readouterr().out


def test_checkpoint_of_another_run_is_not_taken(
    channels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "checkpoints").mkdir()
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        assert train.main(arguments(channels, tmp_path)) == TERMINATED
    assert train.main(arguments(channels, tmp_path, "--weight-decay", "0.2")) == 0
    assert "other hyperparameters" in capsys.readouterr().out


def test_checkpoint_with_other_validation_images_is_not_taken(channels: Path, tmp_path: Path):
    other = tmp_path / "channels"
    shutil.copytree(channels, other)
    for image in (other / "validation").glob("*.png"):
        Image.new("RGB", (16, 16)).save(image)
    metrics = []
    for channel in (channels, other):
        assert train.main(arguments(channel, tmp_path)) == 0
        metrics.append(json.loads((tmp_path / "data" / "metrics.json").read_text())["epochs"])
    assert [epoch["validation_loss"] for epoch in metrics[0]] != [
        epoch["validation_loss"] for epoch in metrics[1]
    ]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half of one"])
def test_broken_checkpoint_is_not_taken(channels: Path, tmp_path: Path, content: bytes):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / checkpoint.NAME).write_bytes(content)
    assert train.main(arguments(channels, tmp_path)) == 0


@pytest.mark.parametrize("content", [5, {"owner": "me"}, {"owner": "me", "state": 5}])
def test_checkpoint_of_another_form_is_not_taken(tmp_path: Path, content: object):
    written = to_bytes(content)
    (tmp_path / checkpoint.NAME).write_bytes(hashlib.sha256(written).digest() + written)
    lines: list[str] = []
    assert checkpoint.load(tmp_path, "me", lines.append) is None
    assert "starting afresh" in lines[0]


def test_checkpoint_of_other_code_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = tmp_path / "training"
    shutil.copytree(Path(train.__file__).parent, code)
    own = checkpoint.fingerprint("recipe")
    monkeypatch.setattr(checkpoint, "__file__", str(code / "checkpoint.py"))
    assert checkpoint.fingerprint("recipe") == own
    with (code / "fit.py").open("a") as source:
        source.write("# changed\n")
    assert checkpoint.fingerprint("recipe") != own


def test_flipped_bits_of_a_checkpoint_are_noticed(tmp_path: Path):
    checkpoint.save(tmp_path, "me", {"weights": torch.arange(50.0)})
    path = tmp_path / checkpoint.NAME
    content = path.read_bytes()
    lines: list[str] = []
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        assert checkpoint.load(tmp_path, "me", lines.append) is None
    assert len(lines) == len(content)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda temporary: temporary.symlink_to("/dev/full"), "No space left on device"),
        (lambda temporary: temporary.mkdir(), "Is a directory"),
    ],
)
def test_checkpoint_that_cannot_be_written_is_told(
    channels: Path, tmp_path: Path, spoil, says: str, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "checkpoints").mkdir()
    spoil(tmp_path / "checkpoints" / (checkpoint.NAME + ".tmp"))
    assert train.main(arguments(channels, tmp_path)) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'checkpoints' / checkpoint.NAME}: {says}\n"
    assert not (tmp_path / "model" / "model.json").exists()


def test_patience_stops_early(channels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    more = ("--epochs", "200", "--patience", "3", "--learning-rate", "1e-8")
    assert train.main(arguments(channels, tmp_path, *more)) == 0
    assert "stopped early" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "data" / "metrics.json").read_text())["epochs"]) < 100


@pytest.fixture
def output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SM_OUTPUT_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--epochs", "many"], "--epochs: invalid int value: 'many'"),
        (["--epochs", "0"], "epochs must be between 1 and"),
        (["--momentum", "0.9"], "unrecognized arguments: --momentum"),
        (["--calibration-folds", "1"], "calibration-folds must be 0 or at least 2"),
        (["--precision", "int4"], "precision must be one of auto"),
        (["--flip-average", "perhaps"], "true or false"),
        (["--classes", "bicycle"], "two different class names"),
        (["--classes", "a,b,c"], "no image of c, which is label 2"),
        (["--train", "/nowhere"], "train channel's folder /nowhere is missing: give --train DIR"),
        (["--model-dir", "/proc/model"], "/proc/model cannot be written"),
        (
            ["--learning-rate", "10", "--weight-decay", "10", "--epochs", "200"],
            "lower the hyperparameter learning-rate",
        ),
    ],
)
def test_users_mistake_is_one_sentence(
    channels: Path, output_folder: Path, more: list[str], says: str, capsys: pytest.CaptureFixture[str]
):
    assert train.main(arguments(channels, output_folder, *more)) == 1
    failure = (output_folder / "failure").read_text()
    assert says in failure
    assert capsys.readouterr().err == f"error: {failure}\n"
    assert not (output_folder / "model" / "model.json").exists()


def link_to_itself(train: Path) -> None:
    (train / "0003.png").unlink()
    (train / "0003.png").symlink_to("0003.png")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda train: (train / "train.lst").unlink(), "must hold one .lst file, not none"),
        (lambda train: (train / "train.lst").write_text(""), "lists no images"),
        (lambda train: (train / "train.lst").write_text("0 1 a.png\n"), "train.lst line 1: index, label"),
        (lambda train: (train / "train.lst").write_text("0\t7\t0001.png\n"), "label 7 is outside 0..1"),
        (lambda train: Image.new("RGB", (8, 40)).save(train / "0000.png"), "images of 8 x 40 pixels"),
        (lambda train: (train / "0003.png").unlink(), "0003.png is missing"),
        (lambda train: (train / "0003.png").write_bytes(b"GIF"), "0003.png cannot be read"),
        (lambda train: (train / "train.lst").write_text("0\t0\t../../secret.png\n"), "outside the channel"),
        (lambda train: Image.new("1", (16, 5000)).save(train / "0000.png"), "sides of at most 4096"),
        (link_to_itself, "0003.png cannot be read"),
    ],
)
def test_bad_channel_is_named(channels: Path, output_folder: Path, spoil, says: str):
    copy = output_folder / "channels"
    shutil.copytree(channels, copy)
    spoil(copy / "train")
    assert train.main(arguments(copy, output_folder)) == 1
    assert says in (output_folder / "failure").read_text()


def test_crash_leaves_its_error(channels: Path, output_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def crash(*_: object) -> None:
        raise RuntimeError("no memory left for the optimiser")

    monkeypatch.setattr(train.Trainer, "_learn", crash)
    assert train.main(arguments(channels, output_folder)) == 1
    assert (output_folder / "failure").read_text() == "RuntimeError: no memory left for the optimiser"
    assert "Traceback" in capsys.readouterr().err


def test_runs_flat_as_the_container_runs_it(channels: Path, tmp_path: Path):
    """The package's files in a folder that holds nothing else, and folders in the container's variables."""
    code = tmp_path / "code"
    code.mkdir()
    for source in Path(train.__file__).parent.glob("*.py"):
        if source.name != "__init__.py":
            shutil.copy(source, code)
    (code / "training.py").write_text("raise ImportError('the package is not in the container')")
    environment = {
        "PATH": os.environ["PATH"],
        "SM_CHANNEL_TRAIN": str(channels / "train"),
        "SM_CHANNEL_VALIDATION": str(channels / "validation"),
        "SM_MODEL_DIR": str(tmp_path / "model"),
        "SM_OUTPUT_DATA_DIR": str(tmp_path / "data"),
    }
    command = [sys.executable, "train.py", *FAST, *WITH_FOLDS]
    done = subprocess.run(command, env=environment, cwd=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "validation:accuracy=" in done.stdout
    _, card = load_model(tmp_path / "model")
    assert card.classes == ("upright", "flat")
    ask = (
        "import sys; sys.path.insert(0, 'code'); import inference as i;"
        "model = i.model_fn('.'); data = i.input_fn(open(sys.argv[1], 'rb').read(), 'image/png');"
        "print(i.output_fn(i.predict_fn(data, model), 'application/json'))"
    )
    image = channels / "validation" / "0000.png"
    answer = subprocess.run(
        [sys.executable, "-P", "-c", ask, str(image)],
        cwd=tmp_path / "model",
        capture_output=True,
        text=True,
        check=True,
    )
    assert sum(json.loads(answer.stdout)) == pytest.approx(1, abs=1e-6)


def test_images_of_other_sizes_and_modes_are_fitted(channels: Path, tmp_path: Path):
    copy = tmp_path / "channels"
    shutil.copytree(channels, copy)
    Image.new("L", (40, 20), 90).save(copy / "train" / "0005.png")
    assert train.main(arguments(copy, tmp_path)) == 0


def test_calibration_needs_two_images_of_each_class(
    channels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    few = tmp_path / "few"
    shutil.copytree(channels, few)
    path = few / "train" / "train.lst"
    lines = path.read_text().splitlines(keepends=True)
    first = {line.split("\t")[1]: line for line in lines}
    path.write_text("".join(first.values()))
    assert train.main(arguments(few, tmp_path, *WITH_FOLDS)) == 1
    assert "one image of label 0, and the calibration needs" in capsys.readouterr().err
    assert train.main(arguments(few, tmp_path)) == 0


def test_a_list_that_begins_with_a_byte_order_mark(channels: Path, tmp_path: Path):
    marked = tmp_path / "marked"
    shutil.copytree(channels, marked)
    path = marked / "train" / "train.lst"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert train.main(arguments(marked, tmp_path)) == 0


def test_an_unwritable_checkpoint_folder_is_told_before_the_training(
    channels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert train.main(arguments(channels, tmp_path, "--checkpoint-dir", "/proc")) == 1
    error = capsys.readouterr().err
    assert "/proc cannot be written" in error
    assert "Traceback" not in error
    assert not (tmp_path / "model" / "model.json").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"0\tinf\tx.png\n", "line 1"),
        (b"0\t0.7\tx.png\n", "line 1"),
        (b"0\t0\tx.png\tmore\n", "line 1"),
        (b"x\t0\tx.png\n", "line 1"),
        (b"0\t0\ta\0b.png\n", "outside the channel"),
        (b"\xff\xfe", "no text in UTF-8"),
    ],
)
def test_a_spoilt_list_is_told(
    channels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, says: str
):
    spoilt = tmp_path / "spoilt"
    shutil.copytree(channels, spoilt)
    (spoilt / "train" / "train.lst").write_bytes(content)
    assert train.main(arguments(spoilt, tmp_path)) == 1
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


def test_a_name_that_is_no_text_gets_into_the_failure_file(
    channels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SM_OUTPUT_DIR", str(tmp_path))
    assert train.main(arguments(channels, tmp_path, "--train", "/nowhere/\udcff")) == 1
    assert r"/nowhere/\udcff is missing" in (tmp_path / "failure").read_text()
