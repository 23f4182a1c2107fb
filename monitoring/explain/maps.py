"""How much each part of an image speaks for a class, in bits: one doubles the odds, minus one halves them.

Odds and not probabilities: a model that is sure stays at 0.99 whichever part is taken away, and its map would
show nothing. "Away" is blurred, not grey or black: a grey square is a thing of its own that the model has
never seen, and on a white ground it would be what the map finds (Sturmfels et al., 2020,
doi:10.23915/distill.00022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from captum.attr import IntegratedGradients, Occlusion
from PIL import Image, ImageFilter
from torch import Tensor

from monitoring.explain.model import Model

OCCLUSION = "occlusion"
GRADIENTS = "integrated-gradients"
METHODS = (OCCLUSION, GRADIENTS)

WINDOW, STRIDE = 1 / 4, 1 / 16  # of a side: a square hides a wheel, and moves by an eighth of one
BLUR = 1 / 8  # the Gaussian's deviation, of the longer side: shapes are gone, the light is kept
STEPS = 64  # of the integral
BATCH = 32
SMALLEST = 1e-9  # a probability under this counts as this: 30 bits
HIDDEN = 0.1  # the share of the image that the check hides
ELSEWHERE = 16  # how many other places it hides, for comparison
# Bits by which hiding the strongest part must cost more than hiding as much elsewhere, for a map to hold. One
# bit halves the odds. By luck alone less is common: of 400 maps of random numbers, half of them smoothed as
# occlusion smooths, on 50 real test images, 57 reach half a bit, and 18 one bit: fewer than one in twenty.
CLEARLY = 1.0


class UnknownClassError(Exception):
    """A class that the model does not know."""


class MethodError(Exception):
    """A method that this model cannot be explained with."""


@dataclass(frozen=True)
class Check:
    """The class's probability when the strongest tenth of the map is blurred, and the mean when the same
    shape is blurred elsewhere.

    `holds` is the verdict: the first is lower than the second by `CLEARLY`, in bits. A map that does not hold
    is not worth believing. It is a field so that it is in JSON too.
    """

    strongest: float
    elsewhere: float
    holds: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", _bits(self.elsewhere) - _bits(self.strongest) >= CLEARLY)


@dataclass(frozen=True)
class Map:
    """`values` are bits, float32 [H, W]: positive speaks for the class.

    For integrated gradients they sum to `difference`, the bits between the image and its blurred self, but
    for the numeric integral's error (completeness: Sundararajan et al., 2017, arXiv:1703.01365). For
    occlusion (Zeiler and Fergus, 2014, arXiv:1311.2901) a pixel has the mean of what hiding a square over
    it costs.
    """

    method: str
    values: np.ndarray
    difference: float
    check: Check


@dataclass(frozen=True)
class Explanation:
    """`pixels` are the image as the model saw it, uint8 [H, W, 3]; the maps speak of class `explained`."""

    name: str
    pixels: np.ndarray
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    explained: str
    maps: tuple[Map, ...]

    @property
    def predicted(self) -> str:
        return self.classes[int(np.argmax(self.probabilities))]

    def probability(self) -> float:
        """Of the explained class."""
        return self.probabilities[self.classes.index(self.explained)]


def explain(
    model: Model, name: str, pixels: np.ndarray, methods: Sequence[str], explained: str | None = None
) -> Explanation:
    """Maps of an image, uint8 [H, W, 3], for the class `explained`, or the predicted one.

    Raises:
        UnknownClassError: the model has no such class.
        MethodError: gradients of a model that only answers.
    """
    if explained is not None and explained not in model.classes:
        raise UnknownClassError(f"the model knows no class {explained}: it knows {', '.join(model.classes)}")
    if GRADIENTS in methods and not model.differentiable:
        raise MethodError(f"an endpoint gives answers and no gradients: leave out {GRADIENTS}")
    seen = model.sees(pixels)
    image, blurred = tensor(seen), tensor(blur(seen))
    with torch.no_grad():
        answer = model.probabilities(image)[0]
    target = model.classes.index(explained) if explained else int(answer.argmax())
    evidence = partial(bits, model, target)
    maps = tuple(_map(method, evidence, image, blurred) for method in methods)
    return Explanation(
        name, seen, model.classes, tuple(answer.tolist()), explained or model.classes[target], maps
    )


def bits(model: Model, target: int, images: Tensor) -> Tensor:
    """log2 of the odds of class `target`, float64 [N], of float images [N, 3, H, W] in 0..255."""
    probabilities = model.probabilities(images).double()
    others = torch.cat([probabilities[:, :target], probabilities[:, target + 1 :]], dim=1).sum(dim=1)
    return probabilities[:, target].clamp_min(SMALLEST).log2() - others.clamp_min(SMALLEST).log2()


def _bits(probability: float) -> float:
    """The same of one probability."""
    return math.log2(max(probability, SMALLEST)) - math.log2(max(1 - probability, SMALLEST))


def tensor(pixels: np.ndarray) -> Tensor:
    """float [1, 3, H, W] in 0..255."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()


def blur(pixels: np.ndarray) -> np.ndarray:
    radius = max(pixels.shape[:2]) * BLUR
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def _map(method: str, evidence: Callable[[Tensor], Tensor], image: Tensor, blurred: Tensor) -> Map:
    attribute = {OCCLUSION: _occlusion, GRADIENTS: _gradients}[method]
    values = attribute(evidence, image, blurred)
    with torch.no_grad():
        difference = float(evidence(image) - evidence(blurred))
        check = _check(evidence, values, image, blurred)
    return Map(method, values.float().numpy(), difference, check)


def _occlusion(evidence: Callable[[Tensor], Tensor], image: Tensor, blurred: Tensor) -> Tensor:
    """bits [H, W]. Each square is hidden in all three channels, so one of them has the whole map."""
    sides = image.shape[2:]
    window, strides = ((3, *(max(1, round(side * share)) for side in sides)) for share in (WINDOW, STRIDE))
    with torch.no_grad():
        found = Occlusion(evidence).attribute(
            image, window, strides, baselines=blurred, perturbations_per_eval=BATCH
        )
    return found[0, 0]


def _gradients(evidence: Callable[[Tensor], Tensor], image: Tensor, blurred: Tensor) -> Tensor:
    """bits [H, W], the channels added up."""
    method = IntegratedGradients(evidence)
    found = method.attribute(image, blurred, n_steps=STEPS, internal_batch_size=BATCH)
    return found[0].detach().sum(dim=0)


def _check(evidence: Callable[[Tensor], Tensor], values: Tensor, image: Tensor, blurred: Tensor) -> Check:
    """Blurs the strongest tenth; then the same shape elsewhere, over the image's edges and around."""
    strongest = torch.zeros(values.numel(), dtype=torch.bool)
    strongest[values.flatten().topk(max(1, round(HIDDEN * values.numel()))).indices] = True
    mask = strongest.view(values.shape)
    height, width = values.shape
    random = np.random.default_rng(0)  # the same places for the same size of image
    moves = zip(random.integers(0, height, ELSEWHERE), random.integers(0, width, ELSEWHERE), strict=True)
    masks = torch.stack([mask, *(mask.roll((int(down), int(right)), (0, 1)) for down, right in moves)])
    odds = evidence(torch.where(masks[:, None], blurred, image))
    probabilities = torch.sigmoid(odds * np.log(2))
    return Check(float(probabilities[0]), float(probabilities[1:].mean()))
