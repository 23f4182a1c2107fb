"""Packages over stubbed clients."""

import io
import json

import pytest
from botocore.response import StreamingBody

from pipeline import registry
from pipeline.registry import NoPackageError, Package

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/scones"


def summary(now, version, status):
    return {
        "ModelPackageGroupName": "scones",
        "ModelPackageArn": f"{ARN}/{version}",
        "ModelPackageVersion": version,
        "ModelApprovalStatus": status,
        "ModelPackageStatus": "Completed",
        "CreationTime": now,
    }


def expect_list(clients, *summaries):
    clients.expect("sagemaker", "list_model_packages", {"ModelPackageSummaryList": list(summaries)})


def test_newest_version_first(clients, now):
    expect_list(clients, summary(now, 9, "Approved"), summary(now, 10, "Rejected"))
    assert [p.version for p in registry.packages(clients("sagemaker"), "scones")] == [10, 9]


def test_no_group_is_no_packages(clients):
    clients.refuse("sagemaker", "list_model_packages", "ValidationException", "Group scones does not exist")
    assert registry.packages(clients("sagemaker"), "scones") == []


@pytest.mark.parametrize("reference", ["2", f"{ARN}/2"])
def test_finds_by_version_or_arn(clients, now, reference):
    expect_list(clients, summary(now, 2, "Rejected"), summary(now, 1, "Approved"))
    assert registry.find(clients("sagemaker"), "scones", reference).version == 2


def test_nothing_approved(clients):
    expect_list(clients)
    with pytest.raises(NoPackageError, match=r"no approved package to deploy: .*scones model approve"):
        registry.approved(clients("sagemaker"), "scones")


def test_named_package_must_be_approved(clients, now):
    expect_list(clients, summary(now, 2, "PendingManualApproval"))
    with pytest.raises(
        NoPackageError, match="package 2 of scones is PendingManualApproval: approve it first"
    ):
        registry.approved(clients("sagemaker"), "scones", "2")


@pytest.mark.parametrize(
    ("reference", "message"), [(None, "has no PendingManualApproval package"), ("7", "has no package 7")]
)
def test_nothing_to_decide_on(clients, settings, reference, message):
    expect_list(clients)
    with pytest.raises(NoPackageError, match=message):
        registry.pending(clients("sagemaker"), settings, reference)


def test_decision_with_its_reason(clients, now):
    package = Package(f"{ARN}/1", 1, "PendingManualApproval", now)
    request = {
        "ModelPackageArn": f"{ARN}/1",
        "ModelApprovalStatus": "Rejected",
        "ApprovalDescription": "blurry",
    }
    clients.expect("sagemaker", "update_model_package", {"ModelPackageArn": f"{ARN}/1"}, request)
    registry.decide(clients("sagemaker"), package, "Rejected", "blurry")


@pytest.mark.parametrize("there", [True, False])
def test_details_with_the_evaluation(clients, now, there):
    described = {
        "ModelPackageName": "scones",
        "ModelPackageArn": f"{ARN}/1",
        "CreationTime": now,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "ModelApprovalStatus": "Approved",
        "CustomerMetadataProperties": {"classes": "a b"},
        "InferenceSpecification": {
            "Containers": [{"Image": "i", "ModelDataUrl": "s3://bucket/model.tar.gz"}]
        },
        "ModelMetrics": {
            "ModelQuality": {
                "Statistics": {"ContentType": "application/json", "S3Uri": "s3://bucket/a/e.json"}
            }
        },
    }
    clients.expect("sagemaker", "describe_model_package", described)
    if there:
        content = json.dumps(
            {
                "images": 100,
                "multiclass_classification_metrics": {"accuracy": {"value": 0.9}},
                "hyperparameters": {"epochs": 9},
            }
        ).encode()
        body = StreamingBody(io.BytesIO(content), len(content))
        clients.expect("s3", "get_object", {"Body": body}, {"Bucket": "bucket", "Key": "a/e.json"})
    else:
        clients.refuse("s3", "get_object", "NoSuchKey")
    details = registry.describe(clients, Package(f"{ARN}/1", 1, "Approved", now))
    assert (details.accuracy, details.images) == ((0.9, 100) if there else (None, None))
    assert details.metadata == {"classes": "a b"}
    assert details.hyperparameters == ({"epochs": 9} if there else None)
