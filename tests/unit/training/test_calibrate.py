"""Calibration against answers whose confidences are wrong by a known amount."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from training.calibrate import calibrate, calibration_error, coverage_curve, temperature, thin
from training.crossvalidate import others, split


def honest_logits(images: int, classes: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels drawn with just the probabilities that the logits state."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(images, classes, generator=generator)
    labels = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator).squeeze(1)
    return logits, labels


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("classes", [2, 5])
def test_undoes_a_known_overconfidence(factor: float, classes: int):
    logits, labels = honest_logits(20_000, classes)
    assert temperature(factor * logits, labels) == pytest.approx(factor, rel=0.05)
    found = calibrate(factor * logits, labels)
    assert found.error < 0.02
    assert found.error_before >= found.error or factor == 1.0


@given(st.integers(0, 2**32 - 1))
def test_no_temperature_near_the_one_found_is_better(seed: int):
    generator = torch.Generator().manual_seed(seed)
    logits, labels = torch.randn(40, 3, generator=generator), torch.randint(0, 3, (40,), generator=generator)
    best = temperature(logits, labels)

    def loss(temperature: float) -> float:
        return functional.cross_entropy(logits / temperature, labels, label_smoothing=1.5 / 42).item()

    for other in (0.05, best * 0.8, best * 1.25, 20.0):
        assert loss(min(max(other, 0.05), 20)) >= loss(best) - 1e-5


@pytest.mark.parametrize("images", [4, 40, 1000])
def test_right_answers_alone_make_no_model_certain(images: int):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (images,), generator=generator)
    margins = 1 + torch.rand(images, generator=generator)
    found = calibrate(functional.one_hot(labels) * margins[:, None], labels)
    assert found.accuracy == 1
    assert 0.06 < found.temperature < 1.1
    assert found.threshold < 1 - 0.2 / images


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("images", [8, 98])
def test_one_wrong_answer_more_than_was_seen_is_allowed_for(classes: int, images: int):
    labels = torch.arange(images) % classes
    logits = 2.0 * functional.one_hot(labels, classes)
    confidence = torch.softmax(logits / temperature(logits, labels), 1).amax(1)[0]
    assert confidence.item() == pytest.approx(1 - 1 / (images + 2), abs=1e-4)


def test_calibration_error_by_hand():
    """Two bins: 0.95 stated, half right; 0.65 stated, all right."""
    confidences = torch.tensor([0.95, 0.95, 0.65, 0.65])
    right = torch.tensor([True, False, True, True])
    assert calibration_error(confidences, right, bins=10) == pytest.approx((2 * 0.45 + 2 * 0.35) / 4)


def test_coverage_curve_by_hand():
    """Equal confidences are kept or dropped together."""
    points = coverage_curve(torch.tensor([0.9, 0.6, 0.9, 0.7]), torch.tensor([True, False, True, False]))
    assert [(round(p.threshold, 2), p.coverage, round(p.accuracy, 3)) for p in points] == [
        (0.6, 1.0, 0.5),
        (0.7, 0.75, 0.667),
        (0.9, 0.5, 1.0),
    ]


def test_threshold_reaches_its_target():
    logits, labels = honest_logits(5_000)
    found = calibrate(logits, labels)
    assert found.threshold is not None
    confidences, chosen = torch.softmax(logits / found.temperature, 1).max(1)
    kept = confidences >= found.threshold
    assert float(kept.double().mean()) == pytest.approx(found.coverage)
    assert float((chosen == labels)[kept].double().mean()) >= 0.99


def test_no_threshold_where_none_helps():
    logits = torch.tensor([[5.0, 0.0]] * 10)
    found = calibrate(logits, torch.tensor([0, 1] * 5))
    assert found.threshold is None
    assert found.coverage == 0
    assert "no threshold reaches an accuracy of 0.99" in found.line()


def test_line_is_read_by_the_jobs_metric_definitions():
    """The loss is that of the calibrated probabilities: ln 2 for answers that are worth nothing."""
    found = calibrate(torch.tensor([[1.0, 0.0]] * 10), torch.tensor([0, 1] * 5))
    assert found.line().startswith("heldout:accuracy=0.5000; heldout:loss=0.69")


@pytest.mark.parametrize("count", [2, 99, 100, 101, 5000])
def test_thinned_curve_keeps_its_ends(count: int):
    points = coverage_curve(torch.linspace(0.5, 1, count), torch.ones(count, dtype=torch.bool))
    thinned = thin(points)
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    assert len(thinned) == min(count, 100)


@given(st.lists(st.integers(0, 2), min_size=4, max_size=60), st.integers(2, 4), st.integers(0, 99))
def test_folds_hold_each_image_once_and_each_class_evenly(labels: list[int], folds: int, seed: int):
    of = torch.tensor(labels)
    parts = split(of, folds, seed)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(labels)))
    for label in set(labels):
        counts = [int((of[part] == label).sum()) for part in parts]
        assert max(counts) - min(counts) <= 1
    for part in parts:
        assert not set(part.tolist()) & set(others(part, len(labels)).tolist())
