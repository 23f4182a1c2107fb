"""The picture of explanations: an image a row, its probabilities, and each map over the image in grey."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from monitoring.explain.maps import CLEARLY, GRADIENTS, OCCLUSION, Explanation, Map

_SIDE = 2.9  # inches: of an image, and of a map
_DPI = 110
_COLOURS = "RdBu_r"  # as most such maps: red for, blue against; told apart by the colour-blind
_FAINTEST = 0.25  # bits: a map that never reaches it is drawn as pale as it is
_CLASSES = 5  # so many probabilities at most
_TITLES = {
    OCCLUSION: "occlusion: what hiding a square costs",
    GRADIENTS: "integrated gradients: pixel by pixel",
}
_LEGEND = (
    "Red speaks for the class, blue against it, the grey image shows through where there is neither.",
    "One bit doubles the odds. Hidden is blurred.",
    f"A map holds if hiding its strongest tenth costs at least {CLEARLY:g} bit more than hiding the same "
    "shape elsewhere.",
)
# Dark, and neither red nor blue, which are the maps' own. The words say it without the colour.
_HOLDS = {True: ("holds", "#1b5e20"), False: ("does not hold: do not trust this map", "#a04000")}


def draw(explanations: Sequence[Explanation]) -> bytes:
    """The picture as PNG. All explanations have the same methods."""
    methods = [found.method for found in explanations[0].maps]
    columns = [1.1 * _SIDE, 0.85 * _SIDE, *([1.35 * _SIDE] * len(methods))]
    style: Any = sns.plotting_context("notebook", 0.85)
    with mpl.rc_context(style):
        # Not pyplot: the picture may be drawn in any thread of a program that draws pictures of its own.
        figure = Figure(figsize=(sum(columns), 1.3 * _SIDE * len(explanations) + 0.6), dpi=_DPI)
        figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06)
        canvas = FigureCanvasAgg(figure)
        places = figure.subplots(len(explanations), len(columns), width_ratios=columns, squeeze=False)
        for row, explanation in zip(places, explanations, strict=True):
            _draw_image(row[0], explanation)
            _draw_probabilities(row[1], explanation)
            for axes, found in zip(row[2:], explanation.maps, strict=True):
                _draw_map(figure, axes, explanation, found)
        lines = _LEGEND if len(methods) == 1 else (" ".join(_LEGEND[:2]), _LEGEND[2])
        figure.supxlabel("\n".join(lines), fontsize="medium", color="0.3")
        buffer = io.BytesIO()
        canvas.print_png(buffer)
    return buffer.getvalue()


def _draw_image(axes: Any, explanation: Explanation) -> None:
    axes.imshow(explanation.pixels, interpolation="nearest")
    axes.set_title(_shortened(explanation.name), fontweight="bold")
    axes.set(xticks=[], yticks=[])


def _draw_probabilities(axes: Any, explanation: Explanation) -> None:
    """The likeliest classes, and the explained one in the colour of what speaks for it."""
    pairs = sorted(zip(explanation.probabilities, explanation.classes, strict=True), reverse=True)
    shown = pairs[:_CLASSES]
    if explanation.explained not in [name for _, name in shown]:
        shown = [*shown[:-1], (explanation.probability(), explanation.explained)]
    colours = ["C3" if name == explanation.explained else "0.75" for _, name in shown]
    bars = axes.barh([name for _, name in shown], [p for p, _ in shown], color=colours, height=0.6)
    axes.bar_label(bars, labels=[f"{p:.3f}" for p, _ in shown], padding=4)
    room = max(len(shown), _CLASSES) / 2
    middle = (len(shown) - 1) / 2
    axes.set(xlim=(0, 1.45), ylim=(middle + room, middle - room), xticks=[])
    axes.set_title("probability", fontweight="normal")
    axes.tick_params(length=0)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == explanation.explained else "normal")
    sns.despine(ax=axes, bottom=True)


def _draw_map(figure: Any, axes: Any, explanation: Explanation, found: Map) -> None:
    # One pixel in a hundred may be off the scale: a few extreme ones would leave the rest without colour.
    limit = max(float(np.quantile(np.abs(found.values), 0.99)), _FAINTEST * _cell(found))
    scale = mpl.colors.Normalize(-limit, limit)
    grey = explanation.pixels @ (0.299, 0.587, 0.114)
    axes.imshow(0.5 + grey / 510, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    painted = mpl.colormaps[_COLOURS](scale(found.values))
    painted[..., 3] = np.minimum(1, np.abs(found.values) / limit) ** 0.5
    axes.imshow(painted, interpolation="nearest")
    bar = figure.colorbar(
        mpl.cm.ScalarMappable(scale, _COLOURS), ax=axes, extend="both", fraction=0.05, pad=0.03, aspect=18
    )
    bar.set_label(f"bits for {_shortened(explanation.explained, 14)}" + _per_pixel(found))
    bar.locator = mpl.ticker.MaxNLocator(5, symmetric=True)
    axes.set(xticks=[], yticks=[])
    axes.set_title(_TITLES[found.method])
    _draw_verdict(axes, explanation, found)


def _draw_verdict(axes: Any, explanation: Explanation, found: Map) -> None:
    """In words and figures below the map; one that does not hold has a frame of its own besides."""
    verdict, colour = _HOLDS[found.check.holds]
    axes.set_xlabel(
        f"{verdict}\n"
        f"strongest tenth hidden: {explanation.probability():.3f} to {found.check.strongest:.3f}\n"
        f"the same shape elsewhere: to {found.check.elsewhere:.3f}",
        color=colour,
    )
    if not found.check.holds:
        axes.spines[:].set(color=colour, linestyle="--", linewidth=3)


def _cell(found: Map) -> float:
    """What share of a whole effect one value of the map can be expected to have."""
    return 1 if found.method == OCCLUSION else 1 / 32


def _per_pixel(found: Map) -> str:
    return "" if found.method == OCCLUSION else " (a pixel)"


def _shortened(name: str, length: int = 30) -> str:
    return name if len(name) <= length else f"…{name[1 - length :]}"
