"""The confidence that the inference workflow asks of an answer, and where it comes from.

It belongs to the model: each is calibrated in its training, and its package carries what that recommends. The
setting `confidence_threshold`, where it is set, stands above that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import predictions, registry

if TYPE_CHECKING:
    from pipeline.predictions import Deployed
    from pipeline.settings import Settings

# For a model whose calibration recommends none.
FALLBACK = 0.8
NOT_KNOWN = "none"
# 100 of 1,000 held-out answers: of fewer, one wrong answer less or more decides whether 0.99 is reached.
LITTLE = 0.1


@dataclass(frozen=True)
class Threshold:
    """`origin` says in words where the value, in [0, 1], comes from."""

    value: float
    origin: str

    def __str__(self) -> str:
        return f"threshold {self.value:.4g}: {self.origin}"


def of_endpoint(sagemaker: Any, settings: Settings, endpoint: str) -> Threshold:
    """The threshold for answers of the endpoint, which is asked only where no setting stands above it.

    Raises:
        NoEndpointError: no endpoint has this name.
    """
    return of_setting(settings) or of_deployed(predictions.deployed(sagemaker, endpoint))


def of_setting(settings: Settings) -> Threshold | None:
    """None where it is not set."""
    if settings.confidence_threshold is None:
        return None
    return Threshold(settings.confidence_threshold, "the setting confidence_threshold")


def of_deployed(served: Deployed) -> Threshold:
    """What the package that an endpoint serves recommends."""
    if served.package is None:
        return Threshold(
            FALLBACK, f"the default, since what {served.endpoint} serves is no registered package"
        )
    return of_package(served.package)


def of_package(described: dict[str, Any]) -> Threshold:
    """What the package recommends, by DescribeModelPackage's answer."""
    name = registry.group_and_version(described["ModelPackageArn"])
    metadata = described.get("CustomerMetadataProperties", {})
    accuracy = metadata.get("threshold_accuracy", NOT_KNOWN)
    if accuracy == NOT_KNOWN:
        return Threshold(FALLBACK, f"the default, since {name} was not calibrated")
    if metadata.get("confidence_threshold") == NOT_KNOWN:
        return Threshold(
            FALLBACK, f"the default, since no threshold of {name} reached {accuracy} accuracy in its training"
        )
    try:
        value, coverage = float(metadata["confidence_threshold"]), float(metadata["threshold_coverage"])
    except (KeyError, ValueError):
        value = coverage = math.nan
    if not (0 <= value <= 1 and 0 <= coverage <= 1):
        return Threshold(FALLBACK, f"the default, since the threshold of {name} is no number in [0, 1]")
    kept = f"keeps {coverage:.0%}".replace("%", " %")
    if coverage < LITTLE:
        kept += ", too little to rely on: train longer, or on more images"
    return Threshold(
        value,
        f"from the calibration of {name} ({accuracy} accuracy on held-out answers, {kept})",
    )
