"""The images that the demo sends: some that the model knows, and some that it must be unsure of.

The unsure ones are blends of two images that the model tells apart. Between them its probability goes from
one side to the other, so somewhere it cannot decide; bisection finds where. That the answer changes gradually
is all that is assumed of the model.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipeline import objects

if TYPE_CHECKING:
    from pipeline.settings import Settings

Ask = Callable[[bytes], Sequence[float]]
PER_CLASS = 5
BLENDS = 3
BISECTIONS = 8


class DemoImagesError(Exception):
    """The validation images do not make a demonstration."""


@dataclass(frozen=True)
class LabelledImage:
    """A validation image. `label` is its class's place in the order of the classes."""

    name: str
    label: int
    png: bytes


def validation_images(s3: Any, uri: str, per_class: int = PER_CLASS) -> list[LabelledImage]:
    """The first images of each class in the channel at `uri`, by its .lst file."""
    listing = objects.read(s3, f"{uri}/validation.lst").decode()
    chosen: dict[int, list[str]] = {}
    for line in listing.splitlines():
        _index, label, name = line.split("\t")
        names = chosen.setdefault(int(float(label)), [])
        if len(names) < per_class:
            names.append(name)
    return [
        LabelledImage(name, label, objects.read(s3, f"{uri}/{name}"))
        for label, names in sorted(chosen.items())
        for name in names
    ]


def undecided_images(images: Sequence[LabelledImage], ask: Ask, count: int = BLENDS) -> list[bytes]:
    """PNGs of blends between images that the model tells apart, each where it cannot decide.

    Raises:
        DemoImagesError: it tells none of them apart.
    """
    pairs = _told_apart(images, ask)
    if not pairs:
        raise DemoImagesError("the model calls every image the same, so no blend of two can make it unsure")
    return [bisect(one.png, other.png, ask) for one, other in pairs[:count]]


def bisect(one: bytes, other: bytes, ask: Ask, steps: int = BISECTIONS) -> bytes:
    """The PNG between two images, which the model takes for different classes, where it is least decided."""
    first, last = _highest(ask(one)), _highest(ask(other))
    low, high = 0.0, 1.0
    best, least = one, 1.0
    for _ in range(steps):
        middle = (low + high) / 2
        png = blend(one, other, middle)
        answer = ask(png)
        if max(answer) < least:
            best, least = png, max(answer)
        if answer[first] > answer[last]:
            low = middle
        else:
            high = middle
    return best


def blend(one: bytes, other: bytes, share: float) -> bytes:
    """A PNG with `share` of the other image in it, from 0 to 1."""
    images = [Image.open(io.BytesIO(data)).convert("RGB") for data in (one, other)]
    buffer = io.BytesIO()
    Image.blend(images[0], images[1], share).save(buffer, "PNG")
    return buffer.getvalue()


def upload(s3: Any, settings: Settings, prefix: str, images: Sequence[tuple[str, bytes]]) -> list[str]:
    """Puts PNGs by their names below `prefix` and returns their keys."""
    keys = []
    for name, png in images:
        key = f"{prefix}{name}"
        s3.put_object(Bucket=settings.bucket, Key=key, Body=png, ContentType="image/png")
        keys.append(key)
    return keys


def _told_apart(images: Sequence[LabelledImage], ask: Ask) -> list[tuple[LabelledImage, LabelledImage]]:
    """Pairs of images that the model gives different classes, no image in two of them."""
    by_answer: dict[int, list[LabelledImage]] = {}
    for image in images:
        by_answer.setdefault(_highest(ask(image.png)), []).append(image)
    groups = sorted(by_answer.values(), key=len, reverse=True)
    return list(zip(groups[0], groups[1], strict=False)) if len(groups) > 1 else []


def _highest(answer: Sequence[float]) -> int:
    return max(range(len(answer)), key=answer.__getitem__)
