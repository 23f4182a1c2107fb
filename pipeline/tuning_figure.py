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
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

if TYPE_CHECKING:
    from pipeline.tuning import Tuned

_COLUMNS = 3
_PANEL = (4.6, 3.2)  # inches
_DPI = 110
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
        grid = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True)
        course, *places = grid.flat
        _draw_course(course, table, tuned)
        points = [
            _draw_hyperparameter(place, table, name, tuned)
            for place, name in zip(places, names, strict=False)
        ]
        for first, *_ in grid:
            first.set_ylabel(tuned.objective)
        bar = figure.colorbar(points[-1], ax=list(grid.flat), pad=0.01, aspect=40, label="training job")
        bar.locator = MaxNLocator(8, integer=True)
        bar.update_ticks()
        for place in places[len(names) :]:
            place.axis("off")
        figure.suptitle(_title(table, tuned))
        figure.supxlabel(f"tuning job {tuned.name}, {tuned.status}", fontsize="small", color="0.4")
        buffer = io.BytesIO()
        canvas.print_png(buffer)
    return buffer.getvalue()


def _title(table: pd.DataFrame, tuned: Tuned) -> str:
    """What was done and found; the job's name, which tells a person nothing, stands below the picture."""
    jobs = "1 training job" if len(tuned.trials) == 1 else f"{len(tuned.trials)} training jobs"
    best = table[table["job"] == tuned.best]
    found = (
        f": the best {tuned.objective} is {best['value'].iloc[0]:.4g}, of job {best['number'].iloc[0]}"
        if len(best)
        else ""
    )
    return f"{tuned.strategy} search, {jobs}{found}"


def _table(tuned: Tuned) -> pd.DataFrame:
    """A row a training job with a value: `number` from 1, `job`, `value`, and the hyperparameters."""
    rows: list[dict[str, Any]] = []
    for number, trial in enumerate(tuned.trials, start=1):
        if trial.value is None:
            continue
        values: dict[str, Any] = {
            name: float(text) if name in tuned.ranges else text
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
    axes.set(title="Job by job", xlabel="training job", ylabel="")
    axes.legend(loc="best", fontsize="small", markerscale=0.8)


def _draw_hyperparameter(axes: Any, table: pd.DataFrame, name: str, tuned: Tuned) -> Any:
    """Over the whole range that was searched, the later jobs darker."""
    colours = sns.color_palette("flare", as_cmap=True)
    points = axes.scatter(
        table[name], table["value"], c=table["number"], cmap=colours, s=45, edgecolor="white", linewidth=0.5
    )
    _mark_best(axes, table, name, tuned)
    scale = ""
    if name in tuned.ranges:
        found = tuned.ranges[name]
        if found.logarithmic:
            scale = " (logarithmic scale)"
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        _widen(axes, found.low, found.high, found.logarithmic)
    axes.set(xlabel=name + scale)
    return points


def _widen(axes: Any, low: float, high: float, logarithmic: bool) -> None:
    """The range, with a little room at its ends."""
    if logarithmic:
        room = (high / low) ** 0.04
        axes.set_xlim(low / room, high * room)
    else:
        room = (high - low) * 0.04
        axes.set_xlim(low - room, high + room)


def _mark_best(axes: Any, table: pd.DataFrame, name: str, tuned: Tuned) -> None:
    best = table[table["job"] == tuned.best]
    if len(best):  # else the legend would have a star that is nowhere
        axes.scatter(best[name], best["value"], label="best job", **_BEST)
