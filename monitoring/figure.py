"""The monitoring picture: confidence, trust over time, mix of classes, brightness, doubtful images."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.dates as mdates
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from monitoring.baseline import Baseline
    from monitoring.drift import Drift
    from monitoring.report import Report

_SIZE = (15, 9.5)  # inches
_DPI = 110
_THUMBNAILS = (2, 6)  # rows and columns
_THUMBNAIL_SIDE = 256  # pixels, more than the picture has for one
_CLASSES = 8  # at most, of which the last are all others
_FEW_CLASSES = 3
_NAME = 24  # letters
_MOMENTS = 24  # bins of the time axis, at most
# A share of fewer answers than this may be off by 0.4 and more by chance: its place is shown, and no trend.
_FEW = 5
_SHORT = pd.Timedelta(minutes=5)
_SHAPELESS = 30  # images; fewer are drawn one by one: bars of one or two would look like a distribution
_CAPTURED, _TRAINING = "captured", "training"
_RED = "C3"
_STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.titleweight": "bold"}


def draw(
    answered: pd.DataFrame,
    classes: tuple[str, ...],
    brightness: np.ndarray,
    report: Report,
    baseline: Baseline | None,
) -> bytes:
    """The picture as PNG.

    `answered` is the table of captures with an answer, `brightness` float [n] in 0..255.
    """
    threshold = report.threshold
    short = _short_names(classes)
    names = _grouped(answered, short)
    doubtful = answered.assign(predicted=answered["predicted"].map(short))
    answered = answered.assign(predicted=answered["predicted"].map(names))
    classes = tuple(dict.fromkeys(names.values()))
    # Not pyplot: a report may be drawn in any thread of a program that draws pictures of its own.
    style: Any = {**sns.axes_style("whitegrid"), **sns.plotting_context("notebook", 0.85), **_STYLE}
    with mpl.rc_context(style):
        figure = Figure(figsize=_SIZE, dpi=_DPI)
        canvas = FigureCanvasAgg(figure)
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.06)  # inches: room around the names
        parts: Any = figure.subfigures(2, 1, height_ratios=(5, 3.4))
        top, bottom = parts
        confidence, trust, mix, light = top.subplots(2, 2).flat
        colours = dict(zip(classes, sns.color_palette("colorblind", len(classes)), strict=True))
        # The highest of n probabilities is never under 1/n.
        _draw_confidence(confidence, answered, colours, threshold, baseline, 1 / max(len(short), 2))
        _draw_trust(trust, answered, threshold, report.validation_under_threshold)
        _draw_mix(mix, answered, classes, _named(baseline.per_class, names) if baseline else None)
        _draw_brightness(light, brightness, baseline)
        _draw_doubtful(bottom, doubtful, threshold)
        panels = {"confidence": confidence, "predicted_class": mix, "brightness": light}
        for each in report.drift:
            _say(panels[each.feature], each)
        first, last = answered["time"].iloc[0], answered["time"].iloc[-1]
        of = f"{report.subject}: " if report.subject else ""
        answers = f"{len(answered):,} answer{'s' * (len(answered) != 1)}"
        figure.suptitle(f"{of}{answers}, {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC")
        buffer = io.BytesIO()
        canvas.print_png(buffer)
    return buffer.getvalue()


def _short_names(classes: tuple[str, ...]) -> dict[str, str]:
    """As they can stand in a title; a dollar would begin a formula."""
    return {
        name: (name if len(name) <= _NAME else f"{name[:_NAME]}…{number}").replace("$", r"\$")
        for number, name in enumerate(classes)
    }


def _grouped(answered: pd.DataFrame, short: dict[str, str]) -> dict[str, str]:
    """What each class counts as in the panels, the last of which is the rarest of very many together."""
    if len(short) <= _CLASSES:
        return short
    counts = answered["predicted"].value_counts().reindex(list(short), fill_value=0)
    own = set(counts.sort_values(ascending=False, kind="stable").index[: _CLASSES - 1])
    others = f"{len(short) - len(own)} others"
    by_itself = {name: shown for name, shown in short.items() if name in own}
    return by_itself | {name: others for name in short if name not in own}


def _named(counts: Mapping[str, int], names: Mapping[str, str]) -> dict[str, int]:
    found = dict.fromkeys(names.values(), 0)
    for name, count in counts.items():
        found[names[name]] += count
    return found


def _say(axes: Any, drift: Drift) -> None:
    """The verdict in the panel's title, in red where it has drifted."""
    colour = _RED if drift.verdict == "drift" else "black"
    axes.set_title(f"{axes.get_title()}: {drift.finding}", color=colour)


def _draw_confidence(
    axes: Any,
    answered: pd.DataFrame,
    colours: dict[str, Any],
    threshold: float,
    baseline: Baseline | None,
    lowest: float,
) -> None:
    """`lowest` is the least that a confidence can be."""
    edges = np.linspace(lowest, 1, 26)
    sns.histplot(
        data=answered.assign(confidence=answered["confidence"].clip(lower=lowest)),  # some are rounded
        x="confidence",
        hue="predicted",
        hue_order=list(colours),
        palette=colours,
        multiple="stack",
        bins=edges,
        ax=axes,
    )
    drawn: Any = axes.get_legend()
    handles, names = list(drawn.legend_handles), [text.get_text() for text in drawn.texts]
    if baseline and baseline.confidence is not None:
        counts, _ = np.histogram(baseline.confidence, edges)
        scaled = counts * len(answered) / len(baseline.confidence)
        handles.append(axes.stairs(scaled, edges, color="0.3", linewidth=1.5))
        names.append("validation, scaled")
    # Confidences lie to the right, as a rule; beside the panel there is room for a long list.
    beside = {"bbox_to_anchor": (1.01, 1), "borderaxespad": 0} if len(colours) > _FEW_CLASSES else {}
    axes.legend(handles, names, title="predicted", loc="upper left", fontsize="small", **beside)
    if threshold >= lowest:  # else it is outside of the axes
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


def _draw_trust(axes: Any, answered: pd.DataFrame, threshold: float, validation: float | None = None) -> None:
    """The share of answers under the threshold over time, with how many answers it stands on.

    `validation` is the share of the validation images' answers.
    """
    moments = by_moment(answered, threshold)
    width = (moments["end"] - moments["begin"]) * 0.9
    count_axes = axes.twinx()
    count_axes.bar(moments["begin"], moments["answers"], width=width, align="edge", color="0.88", zorder=0)
    count_axes.set(ylabel="answers (grey bars)")
    count_axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    count_axes.grid(False)
    axes.set_zorder(count_axes.get_zorder() + 1)
    axes.patch.set_visible(False)
    if validation is not None:
        axes.axhline(validation, color="0.3", linestyle="--", linewidth=1, label="validation")
    _draw_shares(axes, moments, moments["begin"] + width / 2)
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(loc="best", fontsize="small")
    axes.set(title=f"Share under the threshold {threshold:g}", xlabel="time (UTC)", ylabel="share")
    axes.set_ylim(-0.03, 1.03)
    _mark_times(axes, moments["begin"].iloc[0], moments["end"].iloc[-1])


def _mark_times(axes: Any, begin: pd.Timestamp, end: pd.Timestamp) -> None:
    if end - begin < _SHORT:
        # Matplotlib's own ticks of seconds are numbers of one or two digits, which look like hours.
        seconds = max(1, math.ceil((end - begin).total_seconds() / 4))
        axes.set_xticks(pd.date_range(begin.floor("s"), end.ceil("s"), freq=f"{seconds}s"))
        axes.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M:%S"))
        return
    places = mdates.AutoDateLocator(minticks=3, maxticks=8)  # of 200 minutes, more than 3 would be too many
    axes.xaxis.set_major_locator(places)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(places))


def _draw_shares(axes: Any, moments: pd.DataFrame, times: pd.Series) -> None:
    """Dots, joined from one stretch of time to the next where both have answers enough, hollow where not."""
    many = moments["answers"] >= _FEW
    # A new line after each stretch that has too few, or none.
    broken = ~many | (moments["begin"] > moments["end"].shift() + (moments["end"] - moments["begin"]) / 2)
    for _, run in times[many].groupby(broken.cumsum()):
        axes.plot(run, moments["share"][run.index], color=_RED, linewidth=1.5)
    dots = {"edgecolor": _RED, "linewidth": 1.5, "clip_on": False, "zorder": 3}
    if many.any():
        axes.scatter(times[many], moments["share"][many], color=_RED, label="share", **dots)
    if not many.all():
        label = f"share of fewer than {_FEW} answers"
        axes.scatter(times[~many], moments["share"][~many], facecolor="white", label=label, **dots)


def by_moment(answered: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Answers by equal stretches of time: `begin`, `end`, `answers`, `share` (of those under the threshold).

    There are so many that most have more than `_FEW` answers; those without any are left out.
    """
    first, last = answered["time"].iloc[0], answered["time"].iloc[-1]
    span = max(last - first, pd.Timedelta(seconds=1))
    step = span / min(_MOMENTS, max(1, len(answered) // (2 * _FEW)))
    moment = ((answered["time"] - first) / step).astype(int).clip(upper=int(span / step) - 1)
    under = (answered["confidence"] < threshold).groupby(moment)
    found = pd.DataFrame({"answers": under.size(), "share": under.mean()})
    begin = first.tz_localize(None) + found.index.to_numpy() * step  # matplotlib wants times without a zone
    return found.assign(begin=begin, end=begin + step).reset_index(drop=True)


def _draw_mix(
    axes: Any, answered: pd.DataFrame, classes: tuple[str, ...], trained: Mapping[str, int] | None
) -> None:
    counts: dict[str, Any] = {_CAPTURED: answered["predicted"].value_counts().to_dict()}
    if trained:
        counts[_TRAINING] = trained
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
    # A label of a bar to the end stands outside the axes, so that the share's axis ends where a share does.
    beside = " beside the training data" if trained else ""
    axes.set(title=f"Predicted classes{beside}", ylabel="", xlim=(0, 1.005))
    axes.legend(title=None, loc="lower right")


def _draw_brightness(axes: Any, brightness: np.ndarray, baseline: Baseline | None) -> None:
    bins = len(baseline.brightness) if baseline else 32
    edges = np.linspace(0, 256, bins + 1)
    images = "1 image" if len(brightness) == 1 else f"{len(brightness):,} images"
    if 0 < len(brightness) < _SHAPELESS:
        label = f"{_CAPTURED}: {images}, a line each"
        sns.rugplot(x=brightness, height=0.12, color="C0", linewidth=2, label=label, ax=axes)
    elif len(brightness):
        label = f"{_CAPTURED}: {images}"
        sns.histplot(x=brightness, bins=edges, stat="density", color="C0", alpha=0.6, label=label, ax=axes)
    if baseline and baseline.brightness.sum():
        density = baseline.brightness / baseline.brightness.sum() / np.diff(edges)
        axes.stairs(density, edges, color="0.3", linewidth=1.5, label=_TRAINING)
    title = f"Brightness of {images}" if len(brightness) else "Brightness: no captured image can be decoded"
    axes.set(title=title, xlabel="mean luma", ylabel="density", xlim=(0, 255))
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _draw_doubtful(figure: Any, answered: pd.DataFrame, threshold: float) -> None:
    """The images that the model was least sure of, as it saw them."""
    rows, columns = _THUMBNAILS
    title = (
        f"The least certain answers: predicted class and confidence, red under the threshold {threshold:g}"
    )
    figure.suptitle(title, fontweight="bold", fontsize="medium")
    doubtful = answered.dropna(subset=["input"]).sort_values("confidence", kind="stable")
    doubtful = doubtful.drop_duplicates("input").head(rows * columns)  # one sent again shows nothing new
    places = list(figure.subplots(rows, columns).flat)
    for place in places:
        place.axis("off")
    records = zip(doubtful["input"], doubtful["predicted"], doubtful["confidence"], strict=True)
    for place, (payload, predicted, confidence) in zip(places, records, strict=False):
        image = payload.image(_THUMBNAIL_SIDE)
        if image is not None:
            place.imshow(image, interpolation="nearest")
        colour = _RED if confidence < threshold else "black"
        place.set_title(
            f"{predicted}\nconfidence {_in_words(confidence)}",
            color=colour,
            fontweight="normal",
            fontsize="medium",
        )


def _in_words(confidence: float) -> str:
    """To three places, but not up to 1, which would be a model without any doubt."""
    return "over 0.999" if 0.9995 <= confidence < 1 else f"{confidence:.3f}"
