"""The network, and how it is kept in a folder: `model.pt` (weights) beside `model.json` (everything else).

Shipped into the model's `code/` folder next to `inference.py`, so it imports nothing but torch and the
standard library.
"""

import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # torch raises it
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = "model.pt"
CARD = "model.json"
# Numbers in a patch of 2x2 RGB pixels.
PATCH = 12
VALUES_AT_ONCE = 1 << 22
# Three stages halve an image that the first layer has narrowed by one.
MINIMUM_SIDE = 9
MAXIMUM_SIDE = 4096
MAXIMUM_CHANNELS = 4096
# Added to the variances, so that directions that hold nothing but noise are not blown up.
WHITENING_FLOOR = 0.05


# What torch and Python raise on damaged files.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RuntimeError,
    EOFError,
    OSError,
    UnpicklingError,
)


class ModelError(Exception):
    """A folder that holds no model of ours, or half of one."""


def channels_for(width: int) -> tuple[int, int, int]:
    """Of the network's three stages."""
    return width, 3 * width, 3 * width


@dataclass(frozen=True)
class ModelCard:
    """What must be known of a network besides its weights; `model.json` is this, as JSON.

    `image_size` is (width, height) in pixels, `channels` are those of the three stages. `temperature`
    divides the logits before the softmax. `threshold` is the recommended confidence under which an answer
    goes to a person. `sha256` is of `model.pt`; older training jobs left none.
    """

    classes: tuple[str, ...]
    image_size: tuple[int, int] = (32, 32)
    channels: tuple[int, ...] = channels_for(32)
    temperature: float = 1.0
    flip_average: bool = True
    threshold: float | None = None
    sha256: str = ""
    trained: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelCard":
        """Unknown keys are ignored: an older server reads a newer card."""
        known = {field.name for field in dataclasses.fields(cls)}
        content = json.loads(text)
        if not isinstance(content, dict) or not isinstance(content["classes"], list):
            raise ValueError(f"{CARD} is no object that names classes")
        values = {key: value for key, value in content.items() if key in known}
        values["classes"] = tuple(map(str, values["classes"]))
        if len(set(values["classes"])) < len(values["classes"]):
            raise ValueError(f"{CARD} names a class twice")
        if "width" in content:  # before there were channels: made by an older training job
            values["channels"] = (content["width"], 4 * content["width"], 4 * content["width"])
        values["channels"] = tuple(map(int, values.get("channels", cls.channels)))
        if "image_size" in values:
            width, height = values["image_size"]
            values["image_size"] = (int(width), int(height))
        card = cls(**values)
        if not all(MINIMUM_SIDE <= side <= MAXIMUM_SIDE for side in card.image_size):
            raise ValueError(f"image_size {list(card.image_size)} is out of range")
        if len(card.channels) != 3 or not all(1 <= number <= MAXIMUM_CHANNELS for number in card.channels):
            raise ValueError(f"channels {list(card.channels)} are not those of three stages")
        if not (math.isfinite(card.temperature) and card.temperature > 0):
            raise ValueError(f"temperature {card.temperature} is not above 0")
        return card


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


class Block(nn.Module):
    """A 3x3 convolution that adds to its input (He et al., 2015, arXiv:1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = conv(channels, channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + functional.gelu(self.norm(self.conv(x)))


class Network(nn.Module):
    """A small residual network for small images.

    Takes float images [N, 3, H, W] with values in 0..1 and returns logits [N, classes]. The first layer
    is computed from the training images and not trained: it turns patches of 2x2 pixels into numbers
    that do not depend on each other (Jordan, 2024, arXiv:2404.00498). Means, deviations and that layer
    are part of the weights, so nothing outside normalises.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classes: int, channels: Sequence[int] = channels_for(32)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 0.25))
        self.whiten = nn.Conv2d(3, 2 * PATCH, 2, bias=False)
        stages: list[nn.Module] = []
        inputs = 2 * PATCH
        for outputs in channels:
            stages += [conv(inputs, outputs), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.GELU()]
            stages.append(Block(outputs))
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = functional.gelu(self.whiten((images - self.mean) / self.std))
        return self.head(self.stages(x).amax(dim=(2, 3)))

    @torch.no_grad()
    def fit_to(self, images: Tensor, *, whitening: bool = True) -> None:
        """Sets means, deviations and the first layer from uint8 training images [N, 3, H, W].

        Without `whitening` the first layer is left to be trained. With it, its filters are the patches'
        principal directions, each divided by the deviation along it, and the same negated, so that the
        GELU behind them loses nothing.
        """
        # A part at a time: of all images that one may pretrain on, this would be 30 GB.
        parts = images.split(max(1, VALUES_AT_ONCE // images[0].numel()))
        count = images.numel() / 3
        mean = sum(part.double().sum(dim=(0, 2, 3)) for part in parts) / count
        squares = sum((part.double() - mean.view(1, 3, 1, 1)).square().sum(dim=(0, 2, 3)) for part in parts)
        self.mean.copy_((mean / 255).view(1, 3, 1, 1))
        self.std.copy_((squares / (count - 1)).sqrt().div(255).clamp_min(1e-3).view(1, 3, 1, 1))
        if not whitening:
            return
        patches = (_patches((part.float() / 255 - self.mean) / self.std) for part in parts)
        products, numbers = zip(*((found.T @ found, len(found)) for found in patches), strict=True)
        variances, directions = torch.linalg.eigh(sum(products) / sum(numbers))
        filters = (directions / (variances + WHITENING_FLOOR).sqrt()).T.reshape(PATCH, 3, 2, 2)
        self.whiten.weight.copy_(torch.cat([filters, -filters]))
        self.whiten.weight.requires_grad_(False)


def _patches(images: Tensor) -> Tensor:
    """Those of 2 x 2 pixels, side by side, of images [N, 3, H, W]; [patches, 12]."""
    return images.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(-1, PATCH)


def logits(network: nn.Module, images: Tensor, *, flip_average: bool) -> Tensor:
    """Logits [N, classes] of uint8 images [N, 3, H, W]: the one forward pass of evaluation and serving.

    With `flip_average` each image is seen as it is and mirrored, and the two logits are averaged.
    """
    pixels = images.float() / 255
    if not flip_average:
        return network(pixels)
    upright, mirrored = network(torch.cat([pixels, pixels.flip(3)])).chunk(2)
    return (upright + mirrored) / 2


def is_finite(network: nn.Module) -> bool:
    """Whether all weights and statistics are numbers."""
    return all(bool(value.isfinite().all()) for value in network.state_dict().values())


def build(card: ModelCard) -> Network:
    return Network(len(card.classes), card.channels)


def write_whole(path: Path, content: bytes) -> None:
    """Under a temporary name first: a kill or a full disk leaves the old file or the new one, whole.

    Raises OSError, which names the file.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        if not temporary.is_dir():
            temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def to_bytes(content: Any) -> bytes:
    """What `from_bytes` reads. To memory first, since torch's own writer says little of a full disk."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def from_bytes(content: bytes) -> Any:
    """By torch's restricted unpickler (`weights_only=True`), which runs no code. Raises one of UNREADABLE.

    Check a digest first: torch takes flipped bits for numbers, and those of a header for other places.
    """
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def save_model(folder: Path, network: nn.Module, card: ModelCard) -> None:
    """Writes the two files; `model.json` last, so that a folder with a card is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = to_bytes({name: value.cpu() for name, value in network.state_dict().items()})
    write_whole(folder / WEIGHTS, weights)
    card = dataclasses.replace(card, sha256=hashlib.sha256(weights).hexdigest())
    write_whole(folder / CARD, card.to_json().encode())


def load_model(folder: Path) -> tuple[Network, ModelCard]:
    """The network (in evaluation mode, on the CPU) and its card.

    Raises ModelError if a file is missing, damaged or does not fit.
    """
    try:
        card = ModelCard.from_json((folder / CARD).read_text(encoding="utf-8"))
        weights = (folder / WEIGHTS).read_bytes()
        if card.sha256 and hashlib.sha256(weights).hexdigest() != card.sha256:
            raise ValueError(f"{WEIGHTS} is not the one that {CARD} was written for; take another copy")
        network = build(card)
        network.load_state_dict(from_bytes(weights))
        if not is_finite(network):
            raise ValueError("not all weights are numbers")
    except FileNotFoundError as error:
        raise ModelError(
            f"{error.filename} is missing: {folder} is not the content of a model.tar.gz"
        ) from None
    except UNREADABLE as error:
        raise ModelError(f"{folder} holds no usable model: {error}") from error
    return network.eval(), card


def class_names(text: str) -> tuple[str, ...]:
    """Splits `bicycle,motorcycle`. Raises ValueError on fewer than two or on a name given twice."""
    names: Sequence[str] = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"at least two different class names, separated by commas, are needed, not {text!r}")
    return tuple(names)
