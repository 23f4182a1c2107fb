"""Answers to every training image by a network that did not see it: what calibration needs."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training.data import Channel
    from training.fit import DivergedError, Trainer, predict, set_up
    from training.recipe import Recipe
else:
    from data import Channel
    from fit import DivergedError, Trainer, predict, set_up
    from recipe import Recipe


class CrossValidationError(Exception):
    """The cross-validation's process ended without its answers."""


def split(labels: Tensor, folds: int, seed: int) -> list[Tensor]:
    """Indices of `folds` parts in which each class has the same share, to one image."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    by_class = order[labels[order].argsort(stable=True)]
    return [by_class[fold::folds].sort().values for fold in range(folds)]


def others(held_out: Tensor, count: int) -> Tensor:
    chosen = torch.ones(count, dtype=torch.bool)
    chosen[held_out] = False
    return chosen.nonzero().squeeze(1)


def answers(
    recipe: Recipe,
    channel: Channel,
    held_out: Tensor,
    classes: int,
    device: torch.device,
    interrupted: Callable[[], bool] = lambda: False,
    trunk: dict[str, Tensor] | None = None,
) -> Tensor | None:
    """Logits of the held-out images by a network trained on the others; None if interrupted."""
    trainer = Trainer(recipe, channel.subset(others(held_out, len(channel))), classes, device, trunk)
    while not trainer.finished:
        if interrupted():
            return None
        trainer.advance()
    return predict(trainer.result, channel.images[held_out], flip_average=recipe.flip_average)


@dataclass(frozen=True)
class Folds:
    """What the cross-validation's process is to do: `parts` are the held-out images of each fold."""

    recipe: Recipe
    channel: Channel
    parts: list[Tensor]
    classes: int
    device: torch.device
    threads: int
    trunk: dict[str, Tensor] | None = None


def _work(pipe: Connection, parents: Connection, parent: int) -> None:
    # A Ctrl-C reaches every process of a terminal; the parent is the one that decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parents.close()  # the parent's alone, so that its end is told to us
    try:
        folds: Folds = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our own parent
    except EOFError:
        return
    set_up(folds.threads)

    def orphaned() -> bool:
        return os.getppid() != parent

    for part in folds.parts:
        try:
            logits = answers(
                folds.recipe, folds.channel, part, folds.classes, folds.device, orphaned, folds.trunk
            )
        except DivergedError as error:
            pipe.send(error)
            return
        if logits is None:
            return
        # As an array: a tensor would travel as a file in shared memory, which containers have little of.
        pipe.send(logits.numpy())


class Worker:
    """Computes folds in a process of its own, beside the training of the model itself.

    Two processes with half of the cores each are as fast as one after the other with all of them, and
    much faster where the cores are shared: threads that wait for each other at every layer lose most.

    The process is a fork, which has imported torch already. It is to be made before anything is computed:
    what a GPU or a pool of threads is in the middle of does not survive a fork.
    """

    def __init__(self) -> None:
        import torch._dynamo  # noqa: F401 - as optimisers do when first made: 2 s, so once for both processes

        context = multiprocessing.get_context("fork")
        self._left = 0
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._pipe, os.getpid()), daemon=True)
        self._process.start()
        # Ours alone, so that the end of the process is the end of the pipe.
        theirs.close()

    def begin(self, folds: Folds) -> None:
        self._left = len(folds.parts)
        with suppress(ConnectionError):  # it died: `results` will tell
            # Pickled here: `send` would pass tensors through a socket in a folder whose path may be too long.
            self._pipe.send_bytes(pickle.dumps(folds))

    def results(self, *, wait: bool, interrupted: Callable[[], bool] = lambda: False) -> Iterator[Tensor]:
        """The logits of the folds that are done, in their order; with `wait`, of all that are left.

        Raises DivergedError, or CrossValidationError if the process died. Ends early if interrupted.
        """
        while self._left and not interrupted():
            if not self._pipe.poll(0.1 if wait else 0):
                if not wait:
                    return
                continue
            try:
                result = self._pipe.recv()
            except (EOFError, ConnectionError):
                self._process.join()
                code = self._process.exitcode
                reason = ": as a rule there was not enough memory" if code == -signal.SIGKILL else ""
                raise CrossValidationError(
                    f"the cross-validation's process ended with exit code {code}{reason}"
                ) from None
            if isinstance(result, Exception):
                raise result
            self._left -= 1
            yield torch.from_numpy(result)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the process, wherever it is."""
        self._process.terminate()
        self._process.join()
        self._pipe.close()
