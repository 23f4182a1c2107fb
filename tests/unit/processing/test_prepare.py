"""PrepareData as a person runs it: what it writes, what it says, what it leaves when it fails."""

import functools
import hashlib
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from processing import cifar100, images, job, pack, selection
from processing.contact_sheet import Row, Tile, sheet_png
from processing.job import JobError
from processing.outputs import OutputError
from processing.prepare import Options, main, parse_options, prepare
from tests.waiting import wait_for
from training.images import fitted

ROOT = Path(__file__).parents[3]
REAL = ROOT.parent / "shared" / "data"
CLASSES = ("motorcycle", "bicycle")


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "processing.prepare", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="session")
def prepared(archives, tmp_path_factory) -> dict[str, Path]:
    folders = {version: tmp_path_factory.mktemp(version) / "out" for version in pack.VERSIONS}
    for version, folder in folders.items():
        prepare(Options(str(archives[version]), CLASSES, folder))
    return folders


@pytest.mark.parametrize("version", pack.VERSIONS)
@pytest.mark.parametrize("channel", ["train", "validation"])
def test_writes_each_wanted_record_as_an_image(prepared, train, test, version, channel):
    split = {"train": train, "validation": test}[channel]
    folder = prepared[version] / channel
    wanted = [cifar100.FINE_LABEL_NAMES.index(name) for name in CLASSES]
    records = [n for n, label in enumerate(split.labels) if label in wanted]
    listed = [line.split("\t") for line in (folder / f"{channel}.lst").read_text().splitlines()]
    manifest = lines(folder / "manifest.jsonl")
    assert len(listed) == len(manifest) == len(list(folder.glob("*.png"))) == len(records)
    for number, (record, fields, line) in enumerate(zip(records, listed, manifest, strict=True)):
        label = wanted.index(split.labels[record])
        pixels = np.asarray(Image.open(folder / fields[2]))
        assert fields == [str(number), str(label), f"{CLASSES[label]}_{record:05d}.png"]
        assert np.array_equal(pixels, split.pixels[record].transpose(1, 2, 0))
        assert line == {
            "file": fields[2],
            "label": label,
            "class": CLASSES[label],
            "source_record": record,
            "source_name": split.names[record] if version == "python" else None,
            "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "width": 32,
            "height": 32,
        }


@pytest.mark.parametrize("version", pack.VERSIONS)
def test_other_classes_are_written_to_pretrain_on(archives, prepared, train, tmp_path, version):
    """The other classes' training images, in the archive's order; all else is as it is without them."""
    prepare(Options(str(archives[version]), CLASSES, tmp_path, pretrain=True))
    made, expected = tree(tmp_path), tree(prepared[version])
    names = (tmp_path / "pretrain" / "classes.txt").read_text().split()
    assert set(made) - set(expected) == {
        f"pretrain/{name}" for name in ("images.npy", "labels.npy", "classes.txt")
    }
    assert all(made[name] == content for name, content in expected.items())
    others = [n for n, label in enumerate(train.labels) if cifar100.FINE_LABEL_NAMES[label] not in CLASSES]
    images, labels = (np.load(tmp_path / "pretrain" / f"{name}.npy") for name in ("images", "labels"))
    assert [names[label] for label in labels] == [cifar100.FINE_LABEL_NAMES[train.labels[n]] for n in others]
    assert np.array_equal(images, train.pixels[others].transpose(0, 2, 3, 1))
    prepare(Options(str(archives[version]), CLASSES, tmp_path, pretrain=True))  # and is replaced as the rest
    assert tree(tmp_path) == made


def test_nothing_to_pretrain_on(small_split, tmp_path):
    both = [cifar100.FINE_LABEL_NAMES.index(name) for name in CLASSES]
    splits = []
    for name in ("train", "test"):
        split = small_split(20, 1, name)
        splits.append(pack.Split(np.resize(both, 20), split.pixels, split.names))
    pack.write(tmp_path / "a.tar.gz", *splits, "binary")
    with pytest.raises(JobError, match="no training image of another class"):
        prepare(Options(str(tmp_path / "a.tar.gz"), CLASSES, tmp_path / "out", pretrain=True))
    assert not (tmp_path / "out").exists()


def test_both_versions_give_the_same_files(prepared):
    left, right = tree(prepared["python"]), tree(prepared["binary"])
    assert left.keys() == right.keys()
    differing = {name for name in left if left[name] != right[name]}
    assert differing == {
        "train/manifest.jsonl",  # names of the python version's records
        "validation/manifest.jsonl",
        "statistics/statistics.json",  # which archive it was
    }


def test_statistics(prepared, archives, train):
    statistics = json.loads((prepared["binary"] / "statistics" / "statistics.json").read_text())
    content = archives["binary"].read_bytes()
    assert statistics["source"] == {
        "uri": str(archives["binary"]),
        "sha256": hashlib.sha256(content).hexdigest(),
        "md5": None,
        "bytes": len(content),
    }
    assert statistics["classes"] == list(CLASSES)
    assert statistics["image_size"] == [32, 32]
    pixels = train.pixels[np.isin(train.labels, (8, 48))]
    of_train = statistics["splits"]["train"]
    assert of_train["images"] == len(pixels)
    assert of_train["per_class"] == {"motorcycle": 241, "bicycle": 241}
    assert of_train["channel_mean"] == pytest.approx(pixels.mean(axis=(0, 2, 3)) / 255, abs=1e-6)
    assert of_train["channel_std"] == pytest.approx(pixels.std(axis=(0, 2, 3)) / 255, abs=1e-6)
    luma = np.tensordot(pixels.mean(axis=(2, 3)), [0.299, 0.587, 0.114], axes=1)
    expected, _ = np.histogram(luma, bins=32, range=(0, 256))
    assert of_train["brightness_histogram"] == expected.tolist()


def test_the_same_bytes_each_time(prepared, archives, tmp_path):
    prepare(Options(str(archives["python"]), CLASSES, tmp_path / "again"))
    assert tree(tmp_path / "again") == tree(prepared["python"])


def test_md5_where_one_was_expected(archives, tmp_path):
    md5 = hashlib.md5(archives["binary"].read_bytes()).hexdigest()
    options = Options(str(archives["binary"]), CLASSES, tmp_path, md5=md5)
    assert prepare(options)["source"]["md5"] == md5


def test_draws_samples(prepared):
    with Image.open(prepared["python"] / "statistics" / "samples.png") as sheet:
        assert sheet.width > 16 * 64
        assert sheet.height > 4 * 64


@pytest.mark.parametrize(("text", "size"), [("64", (64, 64)), ("24x16", (24, 16))])
def test_resamples(archives, tmp_path, text, size):
    arguments = ["--source", str(archives["binary"]), "--classes", "bicycle", "--output-dir", str(tmp_path)]
    options = parse_options([*arguments, "--image-size", text])
    assert prepare(options)["image_size"] == list(size)
    assert {Image.open(path).size for path in (tmp_path / "train").glob("*.png")} == {size}
    line = lines(tmp_path / "train" / "manifest.jsonl")[0]
    assert (line["width"], line["height"]) == size


def test_any_set_of_classes(archives, tmp_path):
    statistics = prepare(Options(str(archives["python"]), ("worm", "apple", "castle"), tmp_path))
    assert statistics["splits"]["validation"]["per_class"] == {"worm": 8, "apple": 8, "castle": 8}


def test_replaces_an_earlier_output(archives, tmp_path):
    prepare(Options(str(archives["python"]), ("apple",), tmp_path))
    prepare(Options(str(archives["python"]), ("worm",), tmp_path))
    assert {path.name.split("_")[0] for path in tmp_path.rglob("*.png")} == {"worm", "samples.png"}
    assert not list(tmp_path.glob(".*"))


def test_the_code_alone_is_enough(archives, tmp_path):
    """In the job there is nothing but the folder itself, its Python path, and perhaps no ISA-L."""
    shutil.copytree(
        ROOT / "processing", tmp_path / "code" / "processing", ignore=shutil.ignore_patterns("__*__")
    )
    (tmp_path / "code" / "processing" / "__init__.py").touch()
    (tmp_path / "code" / "isal.py").write_text("raise ImportError")
    for part in ("train", "validation", "statistics"):
        (tmp_path / "output" / part).mkdir(parents=True)
    options = ["--source", archives["binary"], "--classes", "bicycle", "--output-dir", tmp_path / "output"]
    completed = subprocess.run(
        [sys.executable, "-P", "-m", "processing.prepare", *options],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "code"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 0, completed.stderr
    assert "train: 241 images (241 bicycle)" in completed.stdout
    assert len(list((tmp_path / "output" / "train").glob("*.png"))) == 241


def test_imports_only_what_the_container_has():
    code = "import processing.selection, processing.evaluate, processing.synthetic, sys; print(*sys.modules)"
    completed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in completed.stdout.split()}
    assert {"processing", "numpy", "PIL"} <= loaded
    others = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"processing"}
    assert not loaded & (others | {"boto3", "botocore", "torch", "pandas", "pydantic", "rich", "typer"})


def test_unpacking_begins_before_the_heavy_imports():
    code = "import processing.prepare, sys; print('numpy' in sys.modules or 'PIL' in sys.modules)"
    completed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == "False"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_job_whose_output_nobody_wants_ends_well(archives, tmp_path, closed):
    command = f"{sys.executable} -m processing.prepare --source {archives['python']} --classes apple"
    shell = f"{command} --output-dir {tmp_path / 'out'} {closed}"
    assert subprocess.run(shell, shell=True, cwd=ROOT).returncode == 0
    assert (tmp_path / "out" / "statistics" / "statistics.json").exists()


def test_standard_output_that_takes_no_more_is_told(archives, tmp_path):
    command = [
        sys.executable,
        "-m",
        "processing.prepare",
        "--source",
        archives["python"],
        "--classes",
        "apple",
    ]
    with open("/dev/full", "w") as full:
        completed = subprocess.run(
            [*command, "--output-dir", tmp_path / "out"],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert completed.returncode == 1
    assert completed.stderr.splitlines()[-1] == "error: standard output: No space left on device"


def test_other_sizes_are_as_the_server_makes_them(archives, tmp_path):
    """Else what is evaluated, and what the threshold comes from, is not what the endpoint answers."""
    for side in (32, 48):
        options = Options(str(archives["python"]), ("apple", "bicycle"), tmp_path / str(side), (side, side))
        prepare(options)
    files = sorted(path.relative_to(tmp_path / "32") for path in (tmp_path / "32/validation").glob("*.png"))
    assert files
    for file in files:
        small, large = (np.asarray(Image.open(tmp_path / side / file)) for side in ("32", "48"))
        assert np.array_equal(large, fitted(small, (48, 48)))


@pytest.mark.parametrize("version", pack.VERSIONS)
def test_large_images_are_made_a_few_at_a_time_and_are_the_same(archives, tmp_path, monkeypatch, version):
    """A batch of records at 1024 pixels would be gigabytes."""
    asked = []
    resize = images.resize
    monkeypatch.setattr(images, "resize", lambda some, *size: asked.append(len(some)) or resize(some, *size))
    for name, pixels in (("many", 1 << 30), ("few", 3 * 40 * 40)):
        monkeypatch.setattr(selection, "PIXELS_AT_ONCE", pixels)
        prepare(Options(str(archives[version]), ("apple", "bicycle"), tmp_path / name, (40, 40)))
    assert max(asked) > 3
    assert max(asked[-20:]) == 3
    assert tree(tmp_path / "few") == tree(tmp_path / "many")


# -- how it fails ------------------------------------------------------------------------------------------


MISTAKES = {
    "unknown class": (["{good}", "bicycle,motorbike"], 'no class "motorbike"; did you mean motorcycle'),
    "no class": (["{good}", ""], 'no class ""'),
    "class twice": (["{good}", "worm,worm"], "named twice"),
    "no image of the class": (["{good}", "bicycle,wolf"], "has no image of wolf in its train split"),
    "cut": (["{cut}", "bicycle"], "cut.tar.gz is cut short"),
    "wrong": (["{page}", "bicycle"], "page.tar.gz is not a gzip file"),
    "not there": (["nowhere.tar.gz", "bicycle"], 'there is no file "nowhere.tar.gz"'),
    "a folder": (["{folder}", "bicycle"], "is a folder"),
    "unknown scheme": (["ftp://host/a.tar.gz", "bicycle"], "ftp:// is not read here"),
    "no key": (["s3://bucket", "bicycle"], "not s3://bucket/key"),
    "checksum": (["{good}", "bicycle", "--md5", "0" * 32], f"not {'0' * 32}"),
    "no checksum": (["{good}", "bicycle", "--md5", "xyz"], "--md5 is 32 hexadecimal digits"),
    "size": (["{good}", "bicycle", "--image-size", "0"], "--image-size is"),
    "size without end": (["{good}", "bicycle", "--image-size", "9" * 5000], "64x48; not"),
    "size in other digits": (["{good}", "bicycle", "--image-size", "\uff19x\uff19"], "--image-size is"),
    "three sizes": (["{good}", "bicycle", "--image-size", "32x32x32"], "--image-size is"),
    "nobody's home": (["{good}", "bicycle", "--cache-dir", "~nobody-of-that-name/x"], "--cache-dir ~nobody"),
    "gigabytes": (["{good}", "bicycle", "--image-size", "256", "--pretrain"], "--image-size 128 or less"),
    "escapes": (["\x1b[31mno\x07where\udc80", "bicycle"], r'no file "\x1b[31mno\x07where\udc80"'),
    "long": (["n" * 90_000, "bicycle"], "n ... n"),
}


@pytest.mark.parametrize(("given", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence(archives, tmp_path, given, said):
    paths = {"good": archives["python"], "folder": tmp_path}
    paths |= {name: tmp_path / f"{name}.tar.gz" for name in ("cut", "page")}
    paths["cut"].write_bytes(archives["python"].read_bytes()[:-1000])
    paths["page"].write_bytes(b"<html>")
    source, classes, *more = (word.format(**paths) for word in given)
    completed = run(
        "--source", source, "--classes", classes, "--output-dir", tmp_path / "deep" / "out", *more
    )
    errors = [line for line in completed.stderr.splitlines() if not line.startswith("reading ")]
    assert completed.returncode == 1
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert said in errors[0]
    assert len(errors[0]) <= len("error: ") + 1000
    assert not (tmp_path / "deep").exists()


def test_a_mistake_becomes_the_exit_message(archives, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "EXIT_MESSAGE", tmp_path / "message")
    arguments = ["prepare", "--source", str(archives["python"]), "--classes", "ü" * 2000, "--output-dir", "x"]
    monkeypatch.setattr(sys, "argv", arguments)
    previous = signal.getsignal(signal.SIGTERM)
    try:
        assert job.run(main) == 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    message = (tmp_path / "message").read_text()
    assert message.startswith('no class "ü')
    assert len(message.encode()) <= 1024
    assert message[:100] in capsys.readouterr().err


def test_a_long_name_does_not_fill_the_terminal(make_archive, tmp_path):
    archive = make_archive(("../" + "n" * 900_000, b""))
    completed = run("--source", archive, "--classes", "bicycle", "--output-dir", tmp_path / "out")
    assert re.search(
        r'^error: made.tar.gz: member "\.\./n+ \.\.\. n+" points outside the archive$',
        completed.stderr,
        re.MULTILINE,
    )
    assert len(completed.stderr) < 1200


def test_an_exit_message_of_what_is_no_text(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "EXIT_MESSAGE", tmp_path / "message")
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def fail():
        raise JobError("no \udc80\x1b[0m\nhere")

    assert job.run(fail) == 1
    assert (tmp_path / "message").read_text() == r"no \udc80\x1b[0m\nhere"
    assert capsys.readouterr().err == r"error: no \udc80\x1b[0m\nhere" + "\n"


def test_keeps_an_earlier_output_when_it_fails(archives, tmp_path):
    output = tmp_path / "out"
    prepare(Options(str(archives["python"]), ("apple",), output))
    before = tree(output)
    assert run("--source", archives["python"], "--classes", "wolf", "--output-dir", output).returncode == 1
    assert tree(output) == before


@pytest.mark.parametrize(("limit", "place"), [(1000, "out"), (1_000_000, "cache")])
def test_a_full_disk_is_named(archives, tmp_path, limit, place):
    """A limit of a file's size stands for it: a write fails as on a full disk, and knows no name either."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=archives["binary"].parent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{archives['binary'].name}"
    source = url if place == "cache" else archives["binary"]
    command = [sys.executable, "-m", "processing.prepare", "--source", source, "--classes", "apple"]
    folders = ["--output-dir", tmp_path / "out", "--cache-dir", tmp_path / "cache"]
    completed = subprocess.run(
        [*command, *folders],
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
    )
    server.shutdown()
    server.server_close()
    assert completed.returncode == 1
    assert re.search(rf"^error: {tmp_path}/{place}[^:]*: File too large$", completed.stderr, re.MULTILINE)
    assert "Traceback" not in completed.stderr
    assert tree(tmp_path / "out") == {}


def test_keeps_strangers_files(archives, tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "thesis.txt").write_text("mine")
    completed = run("--source", archives["python"], "--classes", "apple", "--output-dir", tmp_path)
    assert completed.returncode == 1
    assert "holds files that are not from an earlier run" in completed.stderr
    assert tree(tmp_path) == {"train/thesis.txt": b"mine"}


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing(archives, tmp_path, name):
    """The source never ends: a FIFO that is held open."""
    fifo, output = tmp_path / "slow.tar.gz", tmp_path / "out"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "processing.prepare", "--source", fifo, "--classes", "apple"]
    job = subprocess.Popen([*command, "--output-dir", output], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    with fifo.open("wb") as pipe:
        pipe.write(archives["binary"].read_bytes()[:3_500_000])
        pipe.flush()
        wait_for(lambda: list(output.glob(".staging-*/train/*.png")), "an image", 30)
        with pytest.raises(OutputError, match="another run writes into"):
            prepare(Options(str(archives["binary"]), ("apple",), output))
        assert list(output.glob(".staging-*/train/*.png"))
        job.send_signal(name)
        assert job.wait(20) == 128 + name
    assert "Traceback" not in job.stderr.read()
    assert not output.exists()


def test_removes_what_a_killed_run_left(archives, tmp_path):
    killed = subprocess.Popen(["true"])
    killed.wait()
    # The second number has gone to another process since.
    for number in (killed.pid, os.getppid()):
        (tmp_path / f".staging-{number}" / "train").mkdir(parents=True)
    prepare(Options(str(archives["binary"]), ("apple",), tmp_path))
    assert list(tmp_path.glob(".staging-*")) == []


# -- real archives -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason="the real images are not part of the repository")
def test_real_images_from_both_versions(tmp_path):
    counts = {}
    for version in pack.VERSIONS:
        source = REAL / f"cifar-100-{version}.tar.gz"
        counts[version] = prepare(Options(str(source), CLASSES, tmp_path / version))["splits"]
    assert counts["python"] == counts["binary"]
    assert counts["python"]["train"]["per_class"] == {"motorcycle": 500, "bicycle": 500}
    left, right = tree(tmp_path / "python"), tree(tmp_path / "binary")
    assert all(left[name] == right[name] for name in left if name.endswith((".png", ".lst")))


def test_validation_images_lie_alone_for_a_batch_transform(archives, tmp_path):
    for _ in range(2):  # the second run replaces what the first one made
        prepare(Options(str(archives["python"]), CLASSES, tmp_path, validation_images=True))
    alone = tree(tmp_path / "validation_images")
    channel = tree(tmp_path / "validation")
    assert alone == {name: content for name, content in channel.items() if name.endswith(".png")}
    assert alone
    (tmp_path / "validation_images" / "mine.txt").write_text("keep me")
    with pytest.raises(OutputError, match="validation_images"):
        prepare(Options(str(archives["python"]), CLASSES, tmp_path, validation_images=True))


def test_parts_of_other_options_do_not_stay(archives, tmp_path):
    """Their labels may be others: here they are the other way round."""
    options = Options(str(archives["binary"]), CLASSES, tmp_path)
    prepare(replace(options, recordio=True, pretrain=True, validation_images=True))
    assert len(list(tmp_path.iterdir())) == 7
    (tmp_path / "pretrain" / "mine.txt").touch()
    with pytest.raises(OutputError, match="pretrain"):
        prepare(replace(options, classes=CLASSES[::-1]))
    assert len(list(tmp_path.iterdir())) == 7
    (tmp_path / "pretrain" / "mine.txt").unlink()
    prepare(replace(options, classes=CLASSES[::-1]))
    assert {path.name for path in tmp_path.iterdir()} == {"train", "validation", "statistics"}


@pytest.mark.parametrize(
    "mine",
    [
        "train/notes.txt",
        "train/bicycle_00077.png/notes.txt",
        "validation/empty/",
        "statistics/notes.txt",
        "statistics/samples/thesis.tex",
        "train_recordio/notes.txt",
        "validation_images/bus_1.png",
        "validation_images/bus_\u0661\u0662\u0663\u0664\u0665.png",
    ],
)
def test_what_a_person_put_beside_an_earlier_run_stays(archives, tmp_path, mine):
    options = Options(str(archives["binary"]), ("apple",), tmp_path)
    prepare(options)
    (tmp_path / mine).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mine).mkdir() if mine.endswith("/") else (tmp_path / mine).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="holds files that are not from an earlier run"):
        prepare(options)
    assert tree(tmp_path) == before
    assert (tmp_path / mine).exists()


@pytest.mark.parametrize("target", ["nowhere", "elsewhere"])
def test_a_link_in_the_place_of_a_part_stays(archives, tmp_path, target):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train").symlink_to(tmp_path / target)
    with pytest.raises(OutputError, match="it is no folder"):
        prepare(Options(str(archives["binary"]), ("apple",), tmp_path / "out"))
    assert (tmp_path / "out" / "train").is_symlink()


@pytest.mark.parametrize(
    "mine",
    [
        "mine.txt",
        "train/mine.txt",
        "old/mine.txt",
        "old/train/mine.txt",
        "thesis/x",
        "train/apple_00001.png/x",
    ],
)
def test_a_persons_folder_named_as_a_staging_folder_stays(archives, tmp_path, mine):
    """Of a number that no process has, of one that none can have, and of this process's."""
    killed = subprocess.Popen(["true"])
    killed.wait()
    options = Options(str(archives["binary"]), ("apple",), tmp_path)
    names = [f".staging-{number}" for number in (killed.pid, "9" * 200, "\u00b2", os.getpid())]
    for name in names:
        (tmp_path / name / mine).parent.mkdir(parents=True)
        (tmp_path / name / mine).write_text("mine")
    with pytest.raises(OutputError, match="holds files that are not from an earlier run"):
        prepare(options)
    shutil.rmtree(tmp_path / names.pop())
    prepare(options)
    assert {path.parts[-len(Path(mine).parts) - 1] for path in tmp_path.glob(f".staging-*/{mine}")} == set(
        names
    )


def test_a_killed_run_over_a_persons_link_removes_no_target(archives, tmp_path):
    killed = subprocess.Popen(["true"])
    killed.wait()
    (tmp_path / "mine" / "train").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f".staging-{killed.pid}").symlink_to(tmp_path / "mine")
    prepare(Options(str(archives["binary"]), ("apple",), tmp_path / "out"))
    assert (tmp_path / "mine" / "train").exists()


def test_samples_keep_their_proportions():
    wide = np.full((10, 40, 3), 200, np.uint8)
    with Image.open(io.BytesIO(sheet_png([Row("", [Tile(wide)])]))) as sheet:
        shown = (np.asarray(sheet) == 200).all(axis=2)
    rows, columns = shown.any(axis=1).sum(), shown.any(axis=0).sum()
    assert (rows, columns) == (16, 64)


@pytest.mark.parametrize(
    ("part", "files"),
    [
        ("validation_images", {"holiday.png": b"mine"}),
        ("train", {"train.lst": b"", "manifest.jsonl": b"", "mine.txt": b"mine"}),
    ],
)
def test_a_persons_files_are_not_taken_for_an_earlier_run(archives, tmp_path, part, files):
    (tmp_path / "out" / part).mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "out" / part / name).write_bytes(content)
    options = Options(str(archives["binary"]), ("apple",), tmp_path / "out", validation_images=True)
    with pytest.raises(OutputError, match="not from an earlier run"):
        prepare(options)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out" / part).iterdir()} == files
