"""Learning curves, and accuracy by coverage, as a picture where matplotlib is installed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training.calibrate import Calibration
    from training.fit import Epoch
else:
    from calibrate import Calibration
    from fit import Epoch


# Else it looks like a mistake that validation is the better of the two, as it often is.
NOTE = (
    "training: on augmented images, with targets blurred by mixing and label smoothing, while the weights\n"
    "still change. validation: after the epoch, on images as they are, by the weights that are kept (their\n"
    "average, unless ema is 0). Often the better of the two; the losses are not of the same targets."
)


def draw(history: Sequence[Epoch], found: Calibration | None, path: Path) -> bool:
    """Loss and accuracy by epoch, and accuracy by coverage, into a PNG file; False without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(13.5 if found else 9, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3 if found else 2)
    for axes, name in zip(panels, ("loss", "accuracy"), strict=False):
        _draw_course(axes, name, history)
    if found:
        _draw_kept(panels[2], found)
    for axes in panels:
        axes.grid(alpha=0.3)
    figure.suptitle(_title(history, found))
    figure.supxlabel(NOTE, fontsize=9, color="0.3")
    figure.savefig(path, dpi=120)
    return True


def _title(history: Sequence[Epoch], found: Calibration | None) -> str:
    """What was trained. Each training image is held out once, so their number is known from a calibration."""
    epochs = "1 epoch" if len(history) == 1 else f"{len(history)} epochs"
    return f"{epochs}, {found.images:,} training images" if found else epochs


def _draw_course(axes: Any, name: str, history: Sequence[Epoch]) -> None:
    """Dots too, without which a single epoch would show nothing."""
    for split, label in (("train", "training"), ("validation", "validation")):
        values = [getattr(epoch, f"{split}_{name}") for epoch in history]
        axes.plot([epoch.epoch for epoch in history], values, marker=".", label=label)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.set(xlabel="epoch", title=name)
    axes.legend()


def _draw_kept(axes: Any, found: Calibration) -> None:
    """What is marked is named in the legend, and not at its place, where the curve runs."""
    axes.plot([p.coverage for p in found.curve], [p.accuracy for p in found.curve])
    axes.axhline(found.target, linestyle=":", color="0.3", label=f"target {found.target:g}")
    label = "no threshold reaches it"
    if found.threshold is not None:
        label = f"confidence {found.threshold:.4g} and above: {found.coverage:.0%} kept"
        axes.axvline(found.coverage, linestyle="--", color="0.5", label=label)
    else:
        axes.plot([], [], linestyle="none", label=label)
    axes.set(
        xlabel="share of answers kept, the surest first", title="accuracy of kept answers (cross-validated)"
    )
    axes.legend(loc="lower left")
