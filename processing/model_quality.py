"""SageMaker's model-quality layout, which Studio and the model registry show.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
Deviations here are by bootstrap, for any number of images. Model Monitor's own come from five samples of
80 % and only from 200 images on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from processing import metrics

BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}


def multiclass(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """`multiclass_classification_metrics`; averages over classes are weighted by the images of each."""
    matrix = metrics.confusion_matrix(labels, probabilities.argmax(axis=1), len(classes))
    return {
        "confusion_matrix": _named(matrix, classes),
        **_with_deviations(_multiclass_values, labels, probabilities),
    }


def binary(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """`binary_classification_metrics` of two classes; label 1 is the positive one."""
    matrix = metrics.confusion_matrix(labels, probabilities.argmax(axis=1), 2)
    false_rate, true_rate = metrics.roc_curve(labels == 1, probabilities[:, 1])
    precision, recall = metrics.precision_recall_curve(labels == 1, probabilities[:, 1])
    return {
        "confusion_matrix": _named(matrix, ("0", "1")),
        **_with_deviations(_binary_values, labels, probabilities),
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": false_rate.tolist(),
            "true_positive_rates": true_rate.tolist(),
        },
        "precision_recall_curve": {"precisions": precision.tolist(), "recalls": recall.tolist()},
    }


def _named(matrix: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, int]]:
    return {
        true: {predicted: int(count) for predicted, count in zip(names, row, strict=True)}
        for true, row in zip(names, matrix, strict=True)
    }


def _with_deviations(measure: Any, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    deviations = metrics.bootstrap_deviation(measure, labels, probabilities)
    return {
        name: {"value": value, "standard_deviation": deviations[name]}
        for name, value in measure(labels, probabilities).items()
    }


def _multiclass_values(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    classes = probabilities.shape[1]
    constant = np.full(len(labels), np.bincount(labels, minlength=classes).argmax())
    values = _weighted(metrics.confusion_matrix(labels, probabilities.argmax(axis=1), classes))
    best_constant = _weighted(metrics.confusion_matrix(labels, constant, classes))
    return values | {f"{name}_best_constant_classifier": value for name, value in best_constant.items()}


def _weighted(matrix: np.ndarray) -> dict[str, float]:
    weight = matrix.sum(axis=1) / matrix.sum()
    precision, recall = metrics.rates(matrix)
    values = {
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "weighted_recall": float(weight @ recall),
        "weighted_precision": float(weight @ precision),
    }
    for name, beta in BETAS.items():
        values[f"weighted_{name}"] = float(weight @ metrics.f_score(precision, recall, beta))
    return values


def _binary_values(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    constant = np.full(len(labels), np.bincount(labels, minlength=2).argmax())
    matrix = metrics.confusion_matrix(labels, probabilities.argmax(axis=1), 2)
    values = _of_positive(matrix)
    best_constant = _of_positive(metrics.confusion_matrix(labels, constant, 2))
    _, true_rates = metrics.rates(matrix)
    positives, negatives = matrix.sum(axis=1)[1] > 0, matrix.sum(axis=1)[0] > 0
    precision, recall = metrics.precision_recall_curve(labels == 1, probabilities[:, 1])
    return (
        values
        | {f"{name}_best_constant_classifier": value for name, value in best_constant.items()}
        | {
            "true_positive_rate": float(true_rates[1]),
            "true_negative_rate": float(true_rates[0]),
            "false_positive_rate": float(1 - true_rates[0]) if negatives else 0.0,
            "false_negative_rate": float(1 - true_rates[1]) if positives else 0.0,
            "auc": metrics.area(*metrics.roc_curve(labels == 1, probabilities[:, 1])),
            "au_prc": metrics.area(recall, precision),
        }
    )


def _of_positive(matrix: np.ndarray) -> dict[str, float]:
    precision, recall = metrics.rates(matrix)
    values = {
        "recall": float(recall[1]),
        "precision": float(precision[1]),
        "accuracy": float(np.trace(matrix) / matrix.sum()),
    }
    for name, beta in BETAS.items():
        values[name] = float(metrics.f_score(precision, recall, beta)[1])
    return values
