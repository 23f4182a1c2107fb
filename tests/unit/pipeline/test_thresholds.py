"""Where the workflow's threshold comes from, in numbers and in words."""

from datetime import UTC, datetime

import pytest

from pipeline import predictions, settings, thresholds

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/scones/3"
CALIBRATED = {"confidence_threshold": "0.8312", "threshold_accuracy": "0.99", "threshold_coverage": "0.9125"}
NOT_REACHED = CALIBRATED | {"confidence_threshold": "none", "threshold_coverage": "none"}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            CALIBRATED,
            "threshold 0.8312: from the calibration of scones/3 (0.99 accuracy on held-out answers, "
            "keeps 91 %)",
        ),
        (
            CALIBRATED | {"threshold_coverage": "0.025"},
            "threshold 0.8312: from the calibration of scones/3 (0.99 accuracy on held-out answers, "
            "keeps 2 %, too little to rely on: train longer, or on more images)",
        ),
        (
            NOT_REACHED,
            "threshold 0.8: the default, since no threshold of scones/3 reached 0.99 accuracy "
            "in its training",
        ),
        *(
            (
                CALIBRATED | {key: value},
                "threshold 0.8: the default, since the threshold of scones/3 is no number in [0, 1]",
            )
            for key, value in [
                ("confidence_threshold", "abc"),
                ("confidence_threshold", "nan"),
                ("confidence_threshold", "1.5"),
                ("threshold_coverage", "none"),
            ]
        ),
        (dict.fromkeys(CALIBRATED, "none"), "threshold 0.8: the default, since scones/3 was not calibrated"),
        # A package of another pipeline, or of an earlier version of this one, which noted its setting.
        ({"confidence_threshold": "0.9"}, "threshold 0.8: the default, since scones/3 was not calibrated"),
        ({}, "threshold 0.8: the default, since scones/3 was not calibrated"),
    ],
)
def test_a_packages_threshold(metadata, said):
    described = {"ModelPackageArn": ARN, "CustomerMetadataProperties": metadata}
    assert str(thresholds.of_package(described)) == said


def test_the_endpoints_package_decides(monkeypatch, clients):
    described = {"ModelPackageArn": ARN, "CustomerMetadataProperties": CALIBRATED}
    served = predictions.Deployed("scones-1", described, NOW)
    monkeypatch.setattr(predictions, "deployed", lambda _sagemaker, _name: served)
    assert thresholds.of_endpoint(clients("sagemaker"), settings.load(), "scones-1").value == 0.8312


def test_a_setting_stands_above_it(clients):
    """And nothing is asked."""
    made = settings.load(confidence_threshold=0.7)
    said = "threshold 0.7: the setting confidence_threshold"
    assert str(thresholds.of_endpoint(clients("sagemaker"), made, "scones-1")) == said


def test_an_endpoint_without_a_package(monkeypatch, clients):
    served = predictions.Deployed("scones-1", None, NOW)
    monkeypatch.setattr(predictions, "deployed", lambda _sagemaker, _name: served)
    found = thresholds.of_endpoint(clients("sagemaker"), settings.load(), "scones-1")
    assert (found.value, found.origin) == (
        0.8,
        "the default, since what scones-1 serves is no registered package",
    )
