"""A run's whole state in one file, so that an interrupted job goes on where it was.

The file is the SHA-256 digest of the rest (32 bytes), and what `torch.save` makes of owner and state.
SageMaker copies `/opt/ml/checkpoints` to S3 while a job runs, and back when a spot instance is replaced.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training.model import UNREADABLE, from_bytes, to_bytes, write_whole
else:
    from model import UNREADABLE, from_bytes, to_bytes, write_whole

NAME = "checkpoint.pt"


def fingerprint(*parts: Tensor | str) -> str:
    """What a checkpoint belongs to: the recipe, the very pixels and labels, and the code that trains.

    Other code may keep its state in another form, or go on from this one in another way.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part.numpy().tobytes())
    return digest.hexdigest()


def save(folder: Path, owner: str, state: dict[str, Any]) -> None:
    """A kill leaves the old checkpoint or the new one, whole. Raises OSError, which names the file."""
    folder.mkdir(parents=True, exist_ok=True)
    content = to_bytes({"owner": owner, "state": state})
    write_whole(folder / NAME, hashlib.sha256(content).digest() + content)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Owner and state. Raises one of UNREADABLE."""
    size = hashlib.sha256().digest_size
    digest, content = (whole := path.read_bytes())[:size], whole[size:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("damaged")
    found = from_bytes(content)
    return found["owner"], dict(found["state"])


def load(folder: Path, owner: str, log: Callable[[str], None]) -> dict[str, Any] | None:
    """The state that `owner` saved, or None; a checkpoint of another run or a broken one is left alone."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        found, state = _read(path)
    except UNREADABLE as error:
        log(f"{path} is no readable checkpoint ({type(error).__name__}): starting afresh")
        return None
    if found != owner:
        log(f"{path} belongs to a run with other hyperparameters, images or code: starting afresh")
        return None
    return state
