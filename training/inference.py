"""What the PyTorch inference container calls: `model_fn`, `input_fn`, `predict_fn`, `output_fn`.

Shipped in the model's `code/` folder beside `model.py` and `images.py`.
"""

import io
import json
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import nn

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the model container
    from training.images import BAD_HEADER, BAD_IMAGE, fitted, rgb
    from training.model import ModelCard, Network, load_model, logits
else:
    from images import BAD_HEADER, BAD_IMAGE, fitted, rgb
    from model import ModelCard, Network, load_model, logits

try:  # the container's own base error carries the HTTP status that its server answers with
    from sagemaker_inference.errors import BaseInferenceToolkitError as _ServerError  # type: ignore[import-not-found]
except ImportError:
    _ServerError = Exception

IMAGE_TYPES = ("image/png", "image/jpeg", "application/x-image")
ARRAY_TYPE = "application/x-npy"
# Far more than a classifier of small images needs; decoding is refused above it, before it costs memory.
MAX_PIXELS = int(os.environ.get("MAX_IMAGE_PIXELS", 50_000_000))
MAX_SIDE = 32_768  # a line of millions of pixels takes many seconds to resize
MAX_IMAGES = 1024
# Of the network's input, in one pass: 256 images of 32 x 32. More would only cost more memory.
PIXELS_AT_ONCE = 256 * 32 * 32


class ImageError(ValueError, _ServerError):
    """A request body that is not what its content type says: the client's mistake."""

    status_code = 400
    phrase = "Bad Request"

    def __init__(self, message: str) -> None:
        ValueError.__init__(self, message)
        self.message = message


@dataclass(frozen=True)
class Images:
    """RGB images, each uint8 [H, W, 3]; `many` says whether the answer is a list of answers."""

    pixels: list[np.ndarray]
    many: bool = False


class Answer(nn.Module):
    """What is served: uint8 images [N, 3, H, W] in, probabilities [N, classes] out."""

    def __init__(self, network: Network, card: ModelCard) -> None:
        super().__init__()
        self.network, self.flip_average, self.temperature = network, card.flip_average, card.temperature

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answers = logits(self.network, images, flip_average=self.flip_average)
        return torch.softmax(answers / self.temperature, dim=1)


@dataclass(frozen=True)
class Classifier:
    answer: nn.Module
    card: ModelCard


@torch.no_grad()
def compiled(network: Network, card: ModelCard) -> nn.Module:
    """The same computation without Python and with the norms folded into the convolutions.

    Of what the container can run, this form was the fastest (see docs/training.md).
    """
    width, height = card.image_size
    example = torch.zeros(1, height, width, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    module = Answer(network.to(memory_format=torch.channels_last), card).eval()  # type: ignore[call-overload]
    with warnings.catch_warnings():
        # TorchScript is deprecated in new releases, and not yet replaced for a model without a compiler.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Unchecked: the check takes two seconds of every start, and a test compares the answers.
        frozen = torch.jit.freeze(torch.jit.trace(module, example, check_trace=False))
    for _ in range(3):  # TorchScript optimises while it runs first: not at the expense of a request
        frozen(example)
    return frozen


def model_fn(model_dir: str) -> Classifier:
    """The classifier of an unpacked model.tar.gz. Raises ModelError if it is not one."""
    if "OMP_NUM_THREADS" not in os.environ:
        # The server runs a worker a core; more threads in each would only wait for each other.
        torch.set_num_threads(1)
    network, card = load_model(Path(model_dir))
    return Classifier(compiled(network, card), card)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check_size(width: int, height: int) -> None:
    """Raises ImageError for more pixels, or longer lines, than are worth a worker's time."""
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageError(
            f"the image has {width} x {height} pixels; at most {MAX_PIXELS} are taken, and {MAX_SIDE} a side"
        )


def decode_image(body: bytes) -> np.ndarray:
    """RGB pixels, uint8 [H, W, 3], turned as the camera's orientation tag says. Raises ImageError."""
    try:
        with Image.open(io.BytesIO(body), formats=("PNG", "JPEG")) as image:
            # The header is read, the pixels are not: a small body can claim gigabytes of them.
            check_size(*image.size)
            return np.asarray(rgb(image))
    except UnidentifiedImageError:
        raise ImageError("the body is no readable PNG or JPEG image") from None
    except ImageError:
        raise
    except BAD_IMAGE as error:
        raise ImageError(f"the body is no readable PNG or JPEG image: {first_line(error)}") from None


def read_array(body: bytes) -> np.ndarray:
    """The images of a NumPy .npy file, without a copy. Raises ImageError.

    `numpy.load` would trust the header and ask for as much memory as it claims.
    """
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read_header(file)
    except BAD_HEADER as error:
        raise ImageError(f"the body is no readable .npy file: {first_line(error)}") from None
    if any(type(side) is not int or side < 0 for side in shape):
        raise ImageError(f"the body is no readable .npy file: {list(shape)} is no shape")
    if dtype != np.uint8 or 0 in shape or fortran_order:
        raise ImageError(f"the array must be of uint8 in C order and not empty, not {dtype} {list(shape)}")
    if len(shape) not in (2, 3, 4) or (len(shape) > 2 and shape[-1] != 3):
        raise ImageError(f"the array's shape must be [H, W], [H, W, 3] or [N, H, W, 3], not {list(shape)}")
    data = np.frombuffer(body, np.uint8, offset=file.tell())
    if data.size != math.prod(shape):
        raise ImageError(f"the .npy file holds {data.size} bytes of data, and its shape is {list(shape)}")
    return data.reshape(shape)


def decode_array(body: bytes) -> Images:
    """uint8 [H, W], [H, W, 3] or, for many images, [N, H, W, 3]. Raises ImageError."""
    array = read_array(body)
    height, width = array.shape[-3:-1] if array.ndim > 2 else array.shape
    check_size(width, height)
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim == 3:
        return Images([array])
    if len(array) > MAX_IMAGES:
        raise ImageError(f"{len(array)} images in one request; at most {MAX_IMAGES} are taken")
    return Images(list(array), many=True)


def input_fn(body: Any, content_type: str | None) -> Images:
    """The images of a request's body. Raises ImageError, a ValueError, if they cannot be had."""
    kind = (content_type or "").split(";")[0].strip().lower()
    if kind in IMAGE_TYPES:
        return Images([decode_image(bytes(body))])
    if kind == ARRAY_TYPE:
        return decode_array(bytes(body))
    raise ImageError(
        f"content type {content_type!r} is not taken; send one of {', '.join((*IMAGE_TYPES, ARRAY_TYPE))}"
    )


def to_tensor(pixels: Sequence[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
    """uint8 [N, 3, H, W] in the channels-last layout, each image resized to `size` (width, height)."""
    fitting = [fitted(array, size) for array in pixels]
    return torch.from_numpy(np.stack(fitting)).permute(0, 3, 1, 2)


@torch.inference_mode()
def predict_fn(data: Images, model: Classifier) -> np.ndarray:
    """Probabilities, float32: [classes] for one image, [N, classes] for many."""
    width, height = model.card.image_size
    step = max(1, PIXELS_AT_ONCE // (width * height))
    parts = [data.pixels[start : start + step] for start in range(0, len(data.pixels), step)]
    answers = [model.answer(to_tensor(part, model.card.image_size)).numpy() for part in parts]
    probabilities = np.concatenate(answers)
    return probabilities if data.many else probabilities[0]


def output_fn(prediction: np.ndarray, accept: str = "application/json") -> str:
    """The probabilities as JSON: a list of them, or a list of such lists."""
    kinds = [kind.split(";")[0].strip().lower() for kind in accept.split(",")]
    if not {"application/json", "application/*", "*/*", ""} & set(kinds):
        raise ImageError(f"answers are application/json, not {accept!r}")
    return json.dumps(prediction.tolist())
