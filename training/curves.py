"""Learning curves, and accuracy by coverage, as a picture where matplotlib is installed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training.calibrate import Calibration
    from training.fit import Epoch
else:
    from calibrate import Calibration
    from fit import Epoch


def draw(history: Sequence[Epoch], found: Calibration | None, path: Path) -> bool:
    """Loss and accuracy by epoch, and accuracy by coverage, into a PNG file; False without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(13.5 if found else 9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3 if found else 2)
    for axes, name in zip(panels, ("loss", "accuracy"), strict=False):
        for split in ("train", "validation"):
            values = [getattr(epoch, f"{split}_{name}") for epoch in history]
            axes.plot([epoch.epoch for epoch in history], values, label=split)
        axes.set(xlabel="epoch", title=name)
        axes.legend()
    if found:
        panels[2].plot([p.coverage for p in found.curve], [p.accuracy for p in found.curve])
        panels[2].axhline(found.target, linestyle=":", color="grey")
        panels[2].set(xlabel="share of answers kept", title="accuracy of kept answers (cross-validated)")
        if found.threshold is not None:
            panels[2].axvline(found.coverage, linestyle=":", color="grey")
            panels[2].annotate(f" confidence {found.threshold:.2f}", (found.coverage, found.target), va="top")
    for axes in panels:
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    return True
