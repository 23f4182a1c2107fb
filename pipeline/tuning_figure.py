"""The picture of a tuning job: the objective job by job, and against each hyperparameter."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from pipeline.tuning import Tuned

_COLUMNS = 3
_PANEL = (4.6, 3.2)  # inches
_DPI = 110
_WIDE = 10  # a range over this ratio is drawn by its logarithm where SageMaker chose the scale
_STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.titleweight": "bold"}
_BEST = {"marker": "*", "s": 260, "color": "C3", "edgecolor": "white", "zorder": 5}


class NothingToDrawError(Exception):
    """No training job has a value of the objective yet."""


def draw(tuned: Tuned) -> bytes:
    """The picture as PNG. Raises NothingToDrawError."""
    table = _table(tuned)
    if table.empty:
        raise NothingToDrawError(
            f"the tuning job {tuned.name} ({tuned.status}) has no value of {tuned.objective} to draw yet"
        )
    names = [column for column in table.columns if column not in ("number", "job", "value")]
    rows = math.ceil((len(names) + 1) / _COLUMNS)
    style: Any = {**sns.axes_style("whitegrid"), **sns.plotting_context("notebook", 0.85), **_STYLE}
    # Not pyplot: a picture may be drawn in any thread of a program that draws pictures of its own.
    with mpl.rc_context(style):
        figure = Figure((_COLUMNS * _PANEL[0], rows * _PANEL[1]), dpi=_DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        course, *places = figure.subplots(rows, _COLUMNS, squeeze=False).flat
        _draw_course(course, table, tuned)
        for place, name in zip(places, names, strict=False):
            _draw_hyperparameter(place, table, name, tuned)
        for place in places[len(names) :]:
            place.axis("off")
        best = table[table["job"] == tuned.best]["value"]
        result = f", best {tuned.objective} {best.iloc[0]:.4g}" if len(best) else ""
        figure.suptitle(f"{tuned.name}: {len(tuned.trials)} training jobs, {tuned.strategy}{result}")
        buffer = io.BytesIO()
        canvas.print_png(buffer)
    return buffer.getvalue()


def _table(tuned: Tuned) -> pd.DataFrame:
    """A row a training job with a value: `number` from 1, `job`, `value`, and the hyperparameters."""
    rows: list[dict[str, Any]] = []
    for number, trial in enumerate(tuned.trials, start=1):
        if trial.value is None:
            continue
        values: dict[str, Any] = {
            name: float(text) if name in tuned.scalings else text
            for name, text in trial.hyperparameters.items()
        }
        rows.append({"number": number, "job": trial.job, "value": trial.value, **values})
    return pd.DataFrame(rows)


def _draw_course(axes: Any, table: pd.DataFrame, tuned: Tuned) -> None:
    so_far = table["value"].cummax() if tuned.maximize else table["value"].cummin()
    axes.step(table["number"], so_far, where="post", color="C3", linewidth=1.5, label="best so far")
    sns.scatterplot(x=table["number"], y=table["value"], color="C0", s=45, ax=axes, label="training job")
    _mark_best(axes, table, "number", tuned)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set(title="Job by job", xlabel="training job", ylabel=tuned.objective)
    axes.legend(loc="best", fontsize="small")


def _draw_hyperparameter(axes: Any, table: pd.DataFrame, name: str, tuned: Tuned) -> None:
    colours = sns.color_palette("flare", as_cmap=True)
    points = axes.scatter(
        table[name], table["value"], c=table["number"], cmap=colours, s=45, edgecolor="white", linewidth=0.5
    )
    _mark_best(axes, table, name, tuned)
    if _logarithmic(table, name, tuned):
        axes.set_xscale("log")
    axes.set(title=name, xlabel=name, ylabel=tuned.objective)
    bar = axes.figure.colorbar(points, ax=axes, pad=0.01)
    bar.set_label("training job", fontsize="small")
    bar.locator = MaxNLocator(5, integer=True)
    bar.update_ticks()


def _logarithmic(table: pd.DataFrame, name: str, tuned: Tuned) -> bool:
    scaling = tuned.scalings.get(name)
    if scaling != "Auto":
        return scaling == "Logarithmic"
    low, high = table[name].min(), table[name].max()
    return bool(low > 0 and high / low >= _WIDE)


def _mark_best(axes: Any, table: pd.DataFrame, name: str, tuned: Tuned) -> None:
    best = table[table["job"] == tuned.best]
    axes.scatter(best[name], best["value"], **_BEST)
