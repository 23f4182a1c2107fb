"""A matplotlib figure as a PNG, where matplotlib is installed: containers may lack it."""

from __future__ import annotations

import io
from typing import Any

DPI = 120


def blank(width: float, height: float) -> Any:
    """A figure, its sides in inches; None without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI)
    return buffer.getvalue()
