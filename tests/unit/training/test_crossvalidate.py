"""The cross-validation's process: what it answers, and how it ends."""

import multiprocessing
import os
import tempfile
import time
from multiprocessing import resource_sharer

import pytest
import torch

from training.crossvalidate import CrossValidationError, Folds, Worker, answers, split
from training.data import Channel
from training.fit import DivergedError
from training.recipe import Recipe

CPU = torch.device("cpu")
RECIPE = Recipe(width=4, batch_size=8, epochs=2, precision="float32")


def channel(images: int = 24) -> Channel:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return Channel(pixels, torch.arange(images) % 2)


def folds(recipe: Recipe = RECIPE, data: Channel | None = None) -> Folds:
    data = data or channel()
    return Folds(recipe, data, split(data.labels, 2, 0), 2, CPU, threads=1)


def begun(folds: Folds) -> Worker:
    worker = Worker()
    worker.begin(folds)
    return worker


def test_answers_as_the_same_process_would():
    work = folds()
    worker = begun(work)
    found = list(worker.results(wait=True))
    worker.stop()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = [answers(RECIPE, work.channel, part, 2, CPU) for part in work.parts]
    torch.set_num_threads(threads)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_divergence_there_is_an_error_here():
    hot = Recipe(width=4, batch_size=8, epochs=200, learning_rate=10.0, weight_decay=10.0, optimiser="adamw")
    worker = begun(folds(hot))
    with pytest.raises(DivergedError, match="learning-rate"):
        list(worker.results(wait=True))
    worker.stop()


def test_process_that_dies_before_it_begins_is_told():
    worker = Worker()
    worker._process.kill()
    worker._process.join()
    worker.begin(folds())
    with pytest.raises(CrossValidationError, match="exit code -9"):
        list(worker.results(wait=True))
    worker.stop()


def test_the_path_of_temporary_files_may_be_long(tmp_path, monkeypatch):
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    resource_sharer.stop()  # what an earlier test has left listening
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.delitem(multiprocessing.current_process()._config, "tempdir", raising=False)
    with begun(folds()) as worker:
        assert len(list(worker.results(wait=True))) == 2


def test_process_that_dies_is_told_and_not_waited_for():
    worker = begun(folds(Recipe(width=4, epochs=10_000)))
    worker._process.kill()
    with pytest.raises(CrossValidationError, match="exit code -9"):
        list(worker.results(wait=True))
    worker.stop()


def test_stop_ends_the_process_at_once():
    worker = begun(folds(Recipe(width=4, epochs=10_000)))
    assert list(worker.results(wait=False)) == []
    assert list(worker.results(wait=True, interrupted=lambda: True)) == []
    start = time.monotonic()
    worker.stop()
    assert time.monotonic() - start < 5
    with pytest.raises(ProcessLookupError):
        os.kill(worker._process.pid or 0, 0)


def test_process_that_was_given_nothing_ends_with_the_worker():
    with Worker() as worker:
        assert worker._process.is_alive()
        assert list(worker.results(wait=True)) == []
    assert not worker._process.is_alive()


def test_process_that_was_given_nothing_ends_with_its_parent():
    worker = Worker()
    worker._pipe.close()
    worker._process.join(20)
    assert worker._process.exitcode == 0
