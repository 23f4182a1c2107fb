"""What can be explained: a model.tar.gz of ours, which has gradients, or any endpoint, which only answers."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from processing import model_archive
from training.images import fitted
from training.inference import Answer, ImageError, decode_image
from training.model import CARD, WEIGHTS, ModelError, load_model

# More pixels a side tell an explanation in 16 steps a side nothing, and each of its requests carries them.
LONGEST_SIDE = 256
REQUESTS_AT_ONCE = 8


class ArchiveError(Exception):
    """A model archive that holds no network of ours."""


@dataclass(frozen=True)
class Model:
    """`probabilities` takes float images [N, 3, H, W] with values in 0..255 and returns [N, classes].

    `size` is (width, height) of what the network sees; None where only the endpoint knows.
    """

    classes: tuple[str, ...]
    probabilities: Callable[[Tensor], Tensor]
    size: tuple[int, int] | None
    differentiable: bool

    def sees(self, pixels: np.ndarray) -> np.ndarray:
        """The image, uint8 [H, W, 3], in the size in which it is explained: as the container resizes it."""
        height, width = pixels.shape[:2]
        shrink = min(1, LONGEST_SIDE / max(width, height))
        size = self.size or (max(1, round(width * shrink)), max(1, round(height * shrink)))
        return fitted(pixels, size)


def read(body: bytes, name: str = "the image") -> np.ndarray:
    """A PNG's or JPEG's RGB pixels, uint8 [H, W, 3]. Raises ImageError, as serving does, which names it."""
    try:
        return decode_image(body)
    except ImageError as error:
        raise ImageError(f"{name}: {str(error).replace('the body', 'it')}") from None


def network(archive: Path) -> Model:
    """The network in a model.tar.gz, as it is served. Its code is left where it is, and no pickle is run.

    Raises:
        ArchiveError: it cannot be read, or it is not from this project's training.
    """
    with tempfile.TemporaryDirectory(prefix="explain-") as folder:
        try:
            model_archive.unpack(archive, Path(folder), (WEIGHTS, CARD))
        except model_archive.ArchiveError as error:
            raise ArchiveError(f"the model archive {error}") from None
        for name in (CARD, WEIGHTS):
            if not Path(folder, name).exists():
                raise ArchiveError(
                    f"the model archive has no {name}: this project's training did not make it"
                )
        try:
            found, card = load_model(Path(folder))
        except ModelError as error:
            reason = str(error).replace(folder, "the archive")
            raise ArchiveError(f"the model archive holds no network of this project: {reason}") from None
    answer = Answer(found.requires_grad_(False), card).eval()
    return Model(card.classes, answer, card.image_size, differentiable=True)


def black_box(classes: tuple[str, ...], ask: Callable[[bytes], Sequence[float]]) -> Model:
    """Whatever answers a PNG with a probability for each class; `ask` is called from several threads."""

    def probabilities(images: Tensor) -> Tensor:
        pixels = images.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            return torch.tensor(list(pool.map(ask, map(png, pixels))), dtype=torch.float64)

    return Model(classes, probabilities, size=None, differentiable=False)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
