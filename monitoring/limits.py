"""What counts as drift; without heavy imports, since the settings read it too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Feature = Literal["brightness", "confidence", "predicted_class"]


@dataclass(frozen=True)
class Limits:
    """What counts as drift.

    Attributes:
        psi: from this population stability index on.
        features: those that are judged; the others are only measured. The mix of the predicted classes is not
            among them: CIFAR-100 has as many images of each class, and traffic seldom does.
    """

    psi: float = 0.2
    features: tuple[Feature, ...] = ("brightness", "confidence")
