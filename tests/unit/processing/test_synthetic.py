"""Drawn archives: the same bytes for the same seed, readable as the official ones are, worth training on."""

import pickle
import tarfile
import time

import numpy as np
import pytest

from processing.cifar100 import COARSE_OF_FINE, FINE_LABEL_NAMES, UnknownClassError
from processing.job import JobError
from processing.prepare import Options, prepare
from processing.synthetic import DECOYS, main, write_archive

FEW = {"train_per_class": 6, "test_per_class": 3}


def read_as_the_notebook_does(path):
    with tarfile.open(path) as tar:
        return {
            name: pickle.load(tar.extractfile(f"cifar-100-python/{name}"), encoding="bytes")
            for name in ("train", "test", "meta")
        }


@pytest.mark.parametrize("version", ["python", "binary"])
def test_the_same_bytes_for_the_same_seed(tmp_path, version):
    paths = [tmp_path / name for name in ("a.tar.gz", "b.tar.gz", "c.tar.gz")]
    for path, seed in zip(paths, (7, 7, 8), strict=True):
        write_archive(path, seed=seed, version=version, **FEW)
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()


@pytest.mark.filterwarnings("error")
def test_readable_as_the_official_archive_is(tmp_path):
    write_archive(tmp_path / "a.tar.gz", seed=0, **FEW)
    tables = read_as_the_notebook_does(tmp_path / "a.tar.gz")
    assert [name.decode() for name in tables["meta"][b"fine_label_names"]] == list(FINE_LABEL_NAMES)
    assert len(tables["meta"][b"coarse_label_names"]) == 20
    for split, per_class in (("train", 6), ("test", 3)):
        table = tables[split]
        labels = table[b"fine_labels"]
        assert [labels.count(n) for n in (8, 48)] == [per_class, per_class]
        assert {labels.count(n) for n in range(100) if n not in (8, 48)} == {DECOYS[split]}
        assert table[b"coarse_labels"] == [COARSE_OF_FINE[label] for label in labels]
        assert table[b"data"].shape == (len(labels), 3072)
        assert table[b"data"].dtype == np.uint8
        assert len(set(table[b"filenames"])) == len(labels)
        assert labels != sorted(labels)


def test_both_versions_hold_the_same_records(tmp_path):
    results = {}
    for version in ("python", "binary"):
        write_archive(tmp_path / "a.tar.gz", seed=3, version=version, **FEW)
        results[version] = prepare(
            Options(str(tmp_path / "a.tar.gz"), ("bicycle", "motorcycle"), tmp_path / version)
        )
    assert results["python"]["splits"] == results["binary"]["splits"]


def test_more_images_leave_the_others_as_they_are(tmp_path):
    shown = []
    for count in (4, 9):
        write_archive(tmp_path / "a.tar.gz", seed=1, train_per_class=count, test_per_class=1)
        table = read_as_the_notebook_does(tmp_path / "a.tar.gz")["train"]
        shown.append(dict(zip(table[b"filenames"], map(bytes, table[b"data"]), strict=True)))
    assert shown[0].items() <= shown[1].items()


def test_other_classes_can_be_drawn_in_full(tmp_path):
    arguments = ["--output", str(tmp_path / "a.tar.gz"), "--train-per-class", "9", "--test-per-class", "2"]
    main([*arguments, "--classes", "apple,tank", "--seed", "5"])
    labels = read_as_the_notebook_does(tmp_path / "a.tar.gz")["train"][b"fine_labels"]
    assert [labels.count(FINE_LABEL_NAMES.index(name)) for name in ("apple", "tank", "bicycle")] == [9, 9, 5]


def test_no_two_drawings_are_alike(tmp_path):
    write_archive(tmp_path / "a.tar.gz", seed=0, train_per_class=60, test_per_class=20)
    tables = read_as_the_notebook_does(tmp_path / "a.tar.gz")
    images = np.concatenate([tables[split][b"data"] for split in ("train", "test")])
    assert len({bytes(image) for image in images}) == len(images)


def test_not_trivial(tmp_path):
    """Neither the mean colour nor any weighting of single pixels tells the two classes apart."""
    write_archive(tmp_path / "a.tar.gz", seed=0, train_per_class=200, test_per_class=100)
    tables = read_as_the_notebook_does(tmp_path / "a.tar.gz")

    def chosen(split):
        labels = np.array(tables[split][b"fine_labels"])
        rows = np.isin(labels, (8, 48))
        return tables[split][b"data"][rows] / 255 - 0.5, np.where(labels[rows] == 8, -1.0, 1.0)

    pixels, truth = chosen("train")
    kernel = pixels @ pixels.T
    weights = pixels.T @ np.linalg.solve(kernel + 100 * np.eye(len(kernel)), truth)  # ridge regression
    pixels, truth = chosen("test")
    assert (np.sign(pixels @ weights) == truth).mean() < 0.7


def test_drawn_in_a_few_seconds(tmp_path):
    started = time.process_time()
    write_archive(tmp_path / "a.tar.gz", seed=0)
    assert time.process_time() - started < 20  # it takes 1 to 2; this only catches a blunder


def test_mistakes(tmp_path):
    with pytest.raises(JobError, match="0 train images a class"):
        write_archive(tmp_path / "a.tar.gz", seed=0, train_per_class=0)
    with pytest.raises(UnknownClassError, match="did you mean bicycle"):
        main(["--output", str(tmp_path / "a.tar.gz"), "--classes", "bycicle"])
    assert not list(tmp_path.iterdir())
