"""The report: its numbers against ones that are known, its picture a picture."""

import base64
import io
import json

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from PIL import Image

from monitoring import figure, report
from monitoring.baseline import Baseline
from monitoring.capture import COLUMNS, Captures, Payload
from monitoring.figure import by_moment
from monitoring.report import ReportError, Subject, measure_brightness, write_report

CLASSES = ("bicycle", "motorcycle")
HISTOGRAM = np.array([0] * 16 + [20] + [0] * 14 + [20])  # bins of 8: 128..136 and 248..256
BASELINE = Baseline({"bicycle": 30, "motorcycle": 10}, HISTOGRAM, np.repeat([0.9, 0.6], 20))


def payload(brightness):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (brightness,) * 3).save(buffer, "PNG")
    return Payload(base64.b64encode(buffer.getvalue()).decode(), "BASE64")


def captures(*rows):
    """Each row: confidence, predicted, brightness; a minute apart."""
    begin = pd.Timestamp("2026-02-03T04:00:00Z")
    records = [
        {
            **dict.fromkeys(COLUMNS),
            "time": begin + pd.Timedelta(minutes=minute),
            "confidence": confidence,
            "predicted": predicted,
            "input": payload(brightness) if brightness is not None else Payload("AAAA", "BASE64"),
        }
        for minute, (confidence, predicted, brightness) in enumerate(rows)
    ]
    return Captures(pd.DataFrame(records, columns=list(COLUMNS)), 1, (), CLASSES)


def test_the_numbers_and_the_picture(tmp_path):
    picture = tmp_path / "out" / "monitoring.png"
    seen = captures(
        (0.95, "bicycle", 100), (0.85, "motorcycle", 200), (0.6, "bicycle", 60), (0.9, "bicycle", None)
    )

    report = write_report(seen, picture, threshold=0.9, baseline=BASELINE)

    assert report.records == 4
    assert report.under_threshold == 2  # 0.9 itself is not under 0.9
    assert report.mean_confidence == pytest.approx(0.825)
    assert report.predicted == {"bicycle": 3, "motorcycle": 1}
    assert report.mean_brightness == pytest.approx(120)
    assert report.training_brightness == pytest.approx((132 + 252) / 2)
    assert report.undecodable_images == 1
    assert {each.verdict for each in report.drift} == {"too few"}
    assert report.drifted == ()
    assert report.validation_under_threshold == 0.5
    assert json.loads(picture.with_suffix(".json").read_text())["under_threshold"] == 2
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 24)) > 100
    assert sorted(path.name for path in picture.parent.iterdir()) == ["monitoring.json", "monitoring.png"]


@pytest.mark.parametrize("count", [1, 2, 300])
def test_any_number_of_records_can_be_drawn(tmp_path, count):
    rng = np.random.default_rng(0)
    rows = [(float(rng.uniform(0.5, 1)), CLASSES[n % 2], int(rng.integers(256))) for n in range(count)]

    assert write_report(captures(*rows), tmp_path / "a.png", threshold=0.8).records == count


def test_without_a_baseline_nothing_is_compared(tmp_path):
    report = write_report(captures((0.95, "bicycle", 100)), tmp_path / "a.png", threshold=0.8)

    assert report.training_brightness is None
    assert report.drift == ()


@pytest.mark.parametrize("name", ["a.svg", "a.json", "a", "folder/.png"])
def test_the_picture_is_a_png_file(tmp_path, name):
    with pytest.raises(ReportError, match=r"name it \*.png"):
        write_report(captures((0.95, "bicycle", 100)), tmp_path / name, threshold=0.8)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_pictures_place_is_named(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError) as refused:
        write_report(captures((0.95, "bicycle", 100)), tmp_path / "a.png", threshold=0.8)
    assert refused.value.filename == str(tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_whose_records_they_are_is_said(tmp_path):
    subject = Subject("scones-1", "arn:aws:sagemaker:us-east-1:123456789012:model-package/scones/4", "2026")
    assert str(subject) == "scones-1, serving scones/4"
    write_report(captures((0.95, "bicycle", 100)), tmp_path / "a.png", threshold=0.8, subject=subject)
    assert json.loads((tmp_path / "a.json").read_text())["subject"]["endpoint"] == "scones-1"


def test_an_image_that_was_sent_again_is_drawn_once(monkeypatch):
    table = captures((0.6, "bicycle", 5), (0.5, "bicycle", 5), (0.7, "motorcycle", 90)).table
    drawn = Figure()
    figure._draw_doubtful(drawn, table, 0.8)
    assert [axes.get_title().split()[-1] for axes in drawn.axes if axes.images] == ["0.500", "0.700"]


def test_drift_is_in_the_numbers_and_in_the_titles(tmp_path, monkeypatch):
    titles = []
    said = figure._say
    monkeypatch.setattr(
        figure,
        "_say",
        lambda axes, drift: (said(axes, drift), titles.append((axes.get_title(), axes.title.get_color()))),
    )
    seen = captures(*[(0.9, "bicycle", 5)] * 20, *[(0.6, "motorcycle", 5)] * 20)

    report = write_report(seen, tmp_path / "a.png", threshold=0.8, baseline=BASELINE)

    assert report.drifted == ("brightness",)
    numbers = json.loads((tmp_path / "a.json").read_text())["drift"]
    assert [each["verdict"] for each in numbers] == ["drift", "steady", "not judged"]
    assert [title.partition(": ")[2].split(",")[0] for title, _ in titles][:2] == ["drift", "steady"]
    assert [colour for _, colour in titles] == ["C3", "black", "black"]


def test_the_baselines_confidence_is_drawn_as_if_it_were_as_many():
    table = captures(*[(0.9, "bicycle", 1)] * 10).table
    axes, _ = panel()
    figure._draw_confidence(axes, table, dict.fromkeys(CLASSES, "C0"), 0.8, BASELINE, 0.5)
    (steps,) = (patch for patch in axes.patches if isinstance(patch, StepPatch))
    assert steps.get_data().values.sum() == pytest.approx(10)
    assert [text.get_text() for text in axes.get_legend().texts] == [*CLASSES, "validation, scaled"]


def test_inputs_without_answers_are_no_report(tmp_path):
    with pytest.raises(ReportError, match="captures its input only"):
        write_report(captures((float("nan"), None, 100)), tmp_path / "a.png", threshold=0.8)


def test_no_records_are_no_report(tmp_path):
    seen = captures((0.95, "bicycle", 100)).without([None])

    with pytest.raises(ReportError, match="no captured records"):
        write_report(seen, tmp_path / "a.png", threshold=0.8)


def test_shares_over_time_count_every_answer_once():
    rows = [(0.5 if minute < 50 else 0.99, "bicycle", 1) for minute in range(100)]

    moments = by_moment(captures(*rows).table, threshold=0.8)

    assert moments["answers"].sum() == 100
    assert (moments["share"] * moments["answers"]).sum() == pytest.approx(50)
    assert moments["share"].iloc[0] == 1
    assert moments["share"].iloc[-1] == 0
    assert (moments["end"] > moments["begin"]).all()


def test_brightness_is_luma():
    seen = captures((0.9, "bicycle", 7), (0.9, "bicycle", 250))

    values, undecodable = measure_brightness(seen.table)

    assert list(values) == [7, 250]
    assert undecodable == 0


def panel():
    """Axes to draw on, and what draws them."""
    drawn = Figure()
    return drawn.subplots(), FigureCanvasAgg(drawn)


def test_times_of_a_short_stretch_are_no_microseconds():
    seen = captures(*[(0.9, "bicycle", 1)] * 13).table
    seen["time"] = seen["time"].iloc[0] + pd.to_timedelta(np.linspace(0, 1.9, 13), unit="s")
    axes, canvas = panel()
    figure._draw_trust(axes, seen, 0.8)
    canvas.draw()
    texts = [tick.get_text() for tick in axes.get_xticklabels()]
    assert texts == ["04:00:00", "04:00:01", "04:00:02"]
    assert "UTC" in axes.get_xlabel()


@pytest.mark.parametrize(
    ("minutes", "lines"),
    [
        (range(40), [4]),  # four bins of ten
        ([*range(0, 45, 3), 60, *range(91, 136, 3)], [1, 1]),  # the second of three has one answer
        ([*range(0, 45, 3), *range(91, 136, 3)], [1, 1]),  # it has none
        ([0, 1, 2], []),
    ],
    ids=["many", "few", "none", "few in all"],
)
def test_a_share_of_few_answers_is_joined_with_no_other(minutes, lines):
    table = captures(*[(0.9, "bicycle", 1)] * len(minutes)).table
    table["time"] = table["time"].iloc[0] + pd.to_timedelta(list(minutes), unit="min")
    axes, _ = panel()
    figure._draw_trust(axes, table, 0.8)
    assert [len(line.get_xdata()) for line in axes.lines] == lines
    assert sum(len(dots.get_offsets()) for dots in axes.collections) == len(by_moment(table, 0.8))


@pytest.mark.parametrize("minutes", [6, 40, 100, 170, 200, 240, 400, 1_000, 5_000, 50_000, 300_000])
def test_any_stretch_of_time_has_a_few_ticks(minutes, recwarn):
    axes, canvas = panel()
    begin = pd.Timestamp("2026-02-03T04:00:00")
    end = begin + pd.Timedelta(minutes=minutes)
    axes.plot([begin, end], [0, 1])
    figure._mark_times(axes, begin, end)
    canvas.draw()
    assert (
        2
        <= sum(begin <= pd.Timestamp(mdates.num2date(x)).tz_localize(None) <= end for x in axes.get_xticks())
        <= 10
    )
    assert not recwarn.list


@pytest.mark.parametrize("count", [8, 9, 100])
def test_many_classes_are_drawn_as_a_few_and_others(tmp_path, count, recwarn):
    names = tuple(f"cl$ss_{'x' * 300}_{number}" for number in range(count))
    rows = [(0.6, names[number % count], 5) for number in range(200)]
    seen = captures(*rows)
    seen = Captures(seen.table, 1, (), names)
    base = Baseline(dict.fromkeys(names, 20), HISTOGRAM)
    shown = figure._grouped(seen.table, figure._short_names(names))
    assert len(set(shown.values())) == min(count, 8)
    assert (f"{count - 7} others" in shown.values()) == (count > 8)
    assert sum(figure._named(base.per_class, shown).values()) == 20 * count
    write_report(seen, tmp_path / "a.png", threshold=0.8, baseline=base)
    assert not recwarn.list


@pytest.mark.parametrize("threshold", [0, 0.3, 1])
def test_any_threshold_can_be_drawn(threshold):
    axes, _ = panel()
    table = captures((0.95, "bicycle", 1), (0.49, "bicycle", 1)).table
    figure._draw_confidence(axes, table, dict.fromkeys(CLASSES, "C0"), threshold, None, 0.5)
    assert (axes.get_title(), axes.get_ylabel()) == ("Confidence by predicted class", "answers")
    assert axes.get_xlim() == (0.5, 1)
    assert sum(bar.get_height() for bar in axes.patches) == 2
    assert len(axes.lines) == (threshold >= 0.5)


def test_every_answer_of_many_classes_is_drawn(tmp_path, monkeypatch):
    """However unsure: of a hundred classes, the highest probability may be 0.01."""
    panels = []
    draw = figure._draw_confidence
    monkeypatch.setattr(
        figure, "_draw_confidence", lambda axes, *rest: (draw(axes, *rest), panels.append(axes))
    )
    names = tuple(f"class {number}" for number in range(100))
    rows = [(0.02 + number / 1_000, names[number % 100], 5) for number in range(200)]
    seen = Captures(captures(*rows).table, 1, (), names)
    write_report(seen, tmp_path / "a.png", threshold=0.8)
    assert sum(bar.get_height() for bar in panels[0].patches) == 200


def test_a_file_in_a_folders_place_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as refused:
        report.check_target(tmp_path / "file" / "b" / "a.png")
    assert refused.value.filename == str(tmp_path / "file")


def test_a_long_name_has_room_for_a_temporary_one(tmp_path):
    picture = tmp_path / f"{'x' * 250}.png"
    write_report(captures((0.95, "bicycle", 100)), picture, threshold=0.8)
    assert picture.exists()


def test_records_without_an_answer_are_no_answers(tmp_path):
    seen = captures((0.7, "bicycle", 1), (0.9, "bicycle", 1), (float("nan"), None, 1))
    report = write_report(seen, tmp_path / "a.png", threshold=0.8)
    assert (report.records, report.answers, report.under_threshold) == (3, 2, 1)


def test_shares_end_at_one():
    table = captures(*[(0.9, "bicycle", 1)] * 9).table
    trust, mix = panel()[0], panel()[0]
    figure._draw_trust(trust, table, 0.8)
    figure._draw_mix(mix, table, CLASSES, BASELINE.per_class)
    assert 1 < trust.get_ylim()[1] < 1.05
    assert 1 < mix.get_xlim()[1] < 1.05


@pytest.mark.parametrize(("images", "bars"), [(0, False), (1, False), (8, False), (1200, True)])
def test_the_brightness_says_of_how_many_images_it_is_and_few_are_no_histogram(images, bars):
    axes, _ = panel()
    figure._draw_brightness(axes, np.linspace(0, 255, images), None)
    assert bool(axes.patches) == bars
    expected = {0: "no captured image", 1: "of 1 image", 8: "of 8 images", 1200: "of 1,200 images"}
    assert expected[images] in axes.get_title()


@pytest.mark.parametrize(
    ("confidence", "said"), [(0.51, "0.510"), (0.9994, "0.999"), (0.99999, "over 0.999"), (1.0, "1.000")]
)
def test_a_confidence_is_not_rounded_up_to_certainty(confidence, said):
    assert figure._in_words(confidence) == said
