"""Which process stands in for a container image: by the image's repository name.

AWS's own images are known here. A user's own are named in `images.toml` in the stack's state folder:

    ["team/my-algorithm"]                  # the repository, without registry and tag
    train = ["python3", "/home/me/algorithm/train.py"]
    serve = ["python3", "/home/me/algorithm/serve.py"]
    process = ["python3", "/home/me/algorithm/process.py"]
    environment = { MODE = "small" }

A job that names its own entry point (ContainerEntrypoint) takes of its image only the environment.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localaws.stack import Stack

REGISTRY = "images.toml"
_RUNNERS = Path(__file__).parent.parent / "runners"


class UnknownImageError(Exception):
    """No runner stands in for this image."""


class ImageRegistryError(Exception):
    """The user's images.toml is not what it should be."""


@dataclass(frozen=True)
class Image:
    """A runner.

    Attributes:
        repository: as in the image's URI, between the registry and the tag.
        train: the command that stands in for `docker run IMAGE train`; empty where the image cannot train.
        serve: the command that stands in for `docker run IMAGE serve`.
        process: the image's own entry point, for processing jobs that name none.
        environment: what the image sets for every process.
        metrics: of AWS's own algorithms, which bring their metric definitions and let nobody change them.
    """

    repository: str
    train: tuple[str, ...] = ()
    serve: tuple[str, ...] = ()
    process: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[dict[str, str], ...] = ()


def _runner(name: str) -> tuple[str, ...]:
    return (sys.executable, str(_RUNNERS / f"{name}.py"))


_TOOLKIT = _runner("pytorch_training")
_SERVER = _runner("pytorch_inference")
# https://docs.aws.amazon.com/sagemaker/latest/dg/IC-tuning.html
_IMAGE_CLASSIFICATION_METRICS = (
    {"Name": "train:accuracy", "Regex": r"Epoch\[\d+\] Train-accuracy=([0-9.]+)"},
    {"Name": "validation:accuracy", "Regex": r"Epoch\[\d+\] Validation-accuracy=([0-9.]+)"},
)

KNOWN = {
    image.repository: image
    for image in (
        Image("pytorch-training", train=_TOOLKIT),
        Image("pytorch-inference", serve=_SERVER),
        Image("sagemaker-scikit-learn", train=_TOOLKIT),
        Image(
            "image-classification",
            train=_runner("image_classification/train"),
            serve=_runner("image_classification/serve"),
            metrics=_IMAGE_CLASSIFICATION_METRICS,
        ),
    )
}


def repository(uri: str) -> str:
    """`123456789012.dkr.ecr.us-east-1.amazonaws.com/team/name:tag` → `team/name`."""
    first, slash, rest = uri.partition("/")
    name = rest if slash and ("." in first or ":" in first or first == "localhost") else uri
    name = name.partition("@")[0]
    return name.rpartition(":")[0] if ":" in name else name


def find_image(stack: Stack, uri: str) -> Image:
    """The runner for an image URI. Raises UnknownImageError, or ImageRegistryError."""
    images = KNOWN | _own(stack.root / REGISTRY)
    name = repository(uri)
    if name not in images:
        raise UnknownImageError(
            f"No runner stands in for the image {uri}: nothing is registered for the repository {name!r}. "
            f"Known are {', '.join(sorted(images))}; name your own in {stack.root / REGISTRY}."
        )
    return images[name]


def _own(path: Path) -> dict[str, Image]:
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ImageRegistryError(f"{path} is not TOML: {error}.") from error
    return {name: _own_image(path, name, entry) for name, entry in table.items()}


def _own_image(path: Path, name: str, entry: object) -> Image:
    commands = ("train", "serve", "process")
    if not isinstance(entry, dict) or not entry.keys() <= {*commands, "environment"}:
        raise ImageRegistryError(f'{path}: ["{name}"] may have {", ".join(commands)} and environment.')
    for key in commands:
        command = entry.get(key, [])
        if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
            raise ImageRegistryError(f'{path}: {key} of ["{name}"] must be a list of strings.')
    environment = entry.get("environment", {})
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        raise ImageRegistryError(f'{path}: environment of ["{name}"] must be a table of strings.')
    train, serve, process = (tuple(entry.get(key, ())) for key in commands)
    return Image(name, train, serve, process, environment)
