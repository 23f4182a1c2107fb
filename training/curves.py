"""The learning curves as a picture, where matplotlib is installed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:  # a package in the repository, flat files in the job's container
    from training.fit import Epoch
else:
    from fit import Epoch


def draw(history: Sequence[Epoch], path: Path) -> bool:
    """Loss and accuracy by epoch, into a PNG file; False if matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split in ("train", "validation"):
            values = [getattr(epoch, f"{split}_{name}") for epoch in history]
            axes.plot([epoch.epoch for epoch in history], values, label=split)
        axes.set(xlabel="epoch", title=name)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
    return True
