"""A run's whole state in one file, so that an interrupted job goes on where it was.

SageMaker copies `/opt/ml/checkpoints` to S3 while a job runs, and back when a spot instance is replaced.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training.model import UNREADABLE
else:
    from model import UNREADABLE

NAME = "checkpoint.pt"


def fingerprint(*parts: Tensor | str) -> str:
    """What a checkpoint belongs to: the recipe and the very pixels and labels."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part.numpy().tobytes())
    return digest.hexdigest()


def save(folder: Path, owner: str, state: dict[str, Any]) -> None:
    """Writes under a temporary name first: a kill leaves the old checkpoint or the new one, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (NAME + ".tmp")
    torch.save({"owner": owner, "state": state}, temporary)
    temporary.replace(folder / NAME)


def load(folder: Path, owner: str, log: Callable[[str], None]) -> dict[str, Any] | None:
    """The state that `owner` saved, or None; a checkpoint of another run or a broken one is left alone."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found, state = content["owner"], content["state"]
    except UNREADABLE as error:
        log(f"{path} is no readable checkpoint ({type(error).__name__}): starting afresh")
        return None
    if found != owner:
        log(f"{path} belongs to a run with other hyperparameters or images: starting afresh")
        return None
    return dict(state)
