"""The monitoring picture: confidence, trust over time, mix of classes, brightness, doubtful images."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from monitoring.report import Training

_SIZE = (15, 9)  # inches
_DPI = 110
_THUMBNAILS = (2, 6)  # rows and columns
_MOMENTS = 24  # bins of the time axis, at most
_CAPTURED, _TRAINING = "captured", "training"
_STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.titleweight": "bold"}


def draw(
    answered: pd.DataFrame,
    classes: tuple[str, ...],
    brightness: np.ndarray,
    threshold: float,
    training: Training | None,
) -> bytes:
    """The picture as PNG.

    `answered` is the table of captures with an answer, `brightness` float [n] in 0..255.
    """
    # Not pyplot: a report may be drawn in any thread of a program that draws pictures of its own.
    style: Any = {**sns.axes_style("whitegrid"), **sns.plotting_context("notebook", 0.85), **_STYLE}
    with mpl.rc_context(style):
        figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        parts: Any = figure.subfigures(2, 1, height_ratios=(5, 3))
        top, bottom = parts
        confidence, trust, mix, light = top.subplots(2, 2).flat
        colours = dict(zip(classes, sns.color_palette("colorblind", len(classes)), strict=True))
        _draw_confidence(confidence, answered, colours, threshold)
        _draw_trust(trust, answered, threshold)
        _draw_mix(mix, answered, classes, training)
        _draw_brightness(light, brightness, training)
        _draw_doubtful(bottom, answered, threshold)
        first, last = answered["time"].iloc[0], answered["time"].iloc[-1]
        figure.suptitle(f"{len(answered)} answers, {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC")
        buffer = io.BytesIO()
        canvas.print_png(buffer)
    return buffer.getvalue()


def _draw_confidence(axes: Any, answered: pd.DataFrame, colours: dict[str, Any], threshold: float) -> None:
    lowest = 1 / max(len(colours), 2)  # the highest of n probabilities is never under 1/n
    sns.histplot(
        data=answered,
        x="confidence",
        hue="predicted",
        hue_order=list(colours),
        palette=colours,
        multiple="stack",
        bins=np.linspace(lowest, 1, 26),
        ax=axes,
    )
    axes.axvline(threshold, color="black", linestyle="--", linewidth=1)
    axes.annotate(
        f"threshold {threshold:g}",
        (threshold, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-4, -4),
        textcoords="offset points",
        ha="right",
        va="top",
    )
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set(title="Confidence by predicted class", xlabel="confidence", ylabel="answers", xlim=(lowest, 1))


def _draw_trust(axes: Any, answered: pd.DataFrame, threshold: float) -> None:
    """The share of answers under the threshold over time, with how many answers it stands on."""
    moments = by_moment(answered, threshold)
    width = (moments["end"] - moments["begin"]) * 0.9
    count_axes = axes.twinx()
    count_axes.bar(moments["begin"], moments["answers"], width=width, align="edge", color="0.88", zorder=0)
    count_axes.set(ylabel="answers")
    count_axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    count_axes.grid(False)
    axes.set_zorder(count_axes.get_zorder() + 1)
    axes.patch.set_visible(False)
    sns.lineplot(x=moments["begin"] + width / 2, y=moments["share"], marker="o", color="C3", ax=axes)
    axes.set(title=f"Share under the threshold {threshold:g}", xlabel="time (UTC)", ylabel="share")
    axes.set_ylim(-0.03, 1.03)
    axes.tick_params(axis="x", rotation=20)


def by_moment(answered: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Answers by equal stretches of time: `begin`, `end`, `answers`, `share` (of those under the threshold).

    Stretches without an answer are left out.
    """
    first, last = answered["time"].iloc[0], answered["time"].iloc[-1]
    span = max(last - first, pd.Timedelta(seconds=1))
    step = span / min(_MOMENTS, max(1, len(answered) // 4))
    moment = ((answered["time"] - first) / step).astype(int).clip(upper=int(span / step) - 1)
    under = (answered["confidence"] < threshold).groupby(moment)
    found = pd.DataFrame({"answers": under.size(), "share": under.mean()})
    begin = first.tz_localize(None) + found.index.to_numpy() * step  # matplotlib wants times without a zone
    return found.assign(begin=begin, end=begin + step).reset_index(drop=True)


def _draw_mix(axes: Any, answered: pd.DataFrame, classes: tuple[str, ...], training: Training | None) -> None:
    counts: dict[str, Any] = {_CAPTURED: answered["predicted"].value_counts().to_dict()}
    if training:
        counts[_TRAINING] = training.per_class
    shares = pd.DataFrame(
        [
            {"class": name, "of": what, "share": found.get(name, 0) / max(sum(found.values()), 1)}
            for what, found in counts.items()
            for name in classes
        ]
    )
    sns.barplot(data=shares, x="share", y="class", hue="of", palette=["C0", "0.7"][: len(counts)], ax=axes)
    for bars in axes.containers:
        axes.bar_label(bars, fmt="{:.0%}", padding=3)
    axes.set(title="Predicted classes beside the training data", ylabel="", xlim=(0, 1.1))
    axes.legend(title=None, loc="lower right")


def _draw_brightness(axes: Any, brightness: np.ndarray, training: Training | None) -> None:
    bins = len(training.brightness) if training else 32
    edges = np.linspace(0, 256, bins + 1)
    if len(brightness):
        sns.histplot(
            x=brightness, bins=edges, stat="density", color="C0", alpha=0.6, label=_CAPTURED, ax=axes
        )
    if training and training.brightness.sum():
        density = training.brightness / training.brightness.sum() / np.diff(edges)
        axes.stairs(density, edges, color="0.3", linewidth=1.5, label=_TRAINING)
    axes.set(title="Brightness of the images", xlabel="mean luma", ylabel="density", xlim=(0, 255))
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _draw_doubtful(figure: Any, answered: pd.DataFrame, threshold: float) -> None:
    """The images that the model was least sure of, as it saw them."""
    rows, columns = _THUMBNAILS
    figure.suptitle("The least certain answers", fontweight="bold", fontsize="medium")
    doubtful = answered.dropna(subset=["input"]).nsmallest(rows * columns, "confidence")
    places = list(figure.subplots(rows, columns).flat)
    for place in places:
        place.axis("off")
    records = zip(doubtful["input"], doubtful["predicted"], doubtful["confidence"], strict=True)
    for place, (payload, predicted, confidence) in zip(places, records, strict=False):
        image = payload.image()
        if image is not None:
            place.imshow(image, interpolation="nearest")
        colour = "C3" if confidence < threshold else "black"
        place.set_title(f"{predicted} {confidence:.2f}", color=colour, fontweight="normal", fontsize="medium")
