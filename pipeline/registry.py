"""Model packages: the versions in the group, and the decision whether one may be deployed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from pipeline import objects

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

Status = Literal["Approved", "Rejected", "PendingManualApproval"]


class NoPackageError(Exception):
    """No model package is there, or none with the status that is wanted."""


@dataclass(frozen=True)
class Package:
    """One version of the group."""

    arn: str
    version: int
    status: str
    created: datetime


@dataclass(frozen=True)
class PackageDetails(Package):
    """With what is known of its making; what comes from the evaluation is None if that is gone.

    Attributes:
        comparison: with the model that was approved then, as in evaluation.json.
        hyperparameters: all that our own training had, also those of its defaults.
    """

    note: str | None
    metadata: dict[str, str]
    model_data: str
    evaluation_uri: str | None
    accuracy: float | None
    images: int | None
    calibration_error: float | None
    comparison: dict[str, Any] | None
    hyperparameters: dict[str, Any] | None


def group_and_version(arn: str) -> str:
    """How a package is called in sentences, such as `scones/4`."""
    return arn.rpartition(":model-package/")[2]


def packages(sagemaker: Any, group: str, status: Status | None = None) -> list[Package]:
    """The group's packages, the newest first; none where there is no such group."""
    request: dict[str, Any] = {"ModelPackageGroupName": group, "SortBy": "CreationTime"}
    if status:
        request["ModelApprovalStatus"] = status
    pages = sagemaker.get_paginator("list_model_packages").paginate(**request, SortOrder="Descending")
    try:
        summaries = [summary for page in pages for summary in page["ModelPackageSummaryList"]]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return []
        raise
    found = [
        Package(
            arn=summary["ModelPackageArn"],
            version=summary["ModelPackageVersion"],
            status=summary["ModelApprovalStatus"],
            created=summary["CreationTime"],
        )
        for summary in summaries
    ]
    # Two packages of one second are told apart by their versions.
    return sorted(found, key=lambda package: package.version, reverse=True)


def find(sagemaker: Any, group: str, reference: str | None = None, status: Status | None = None) -> Package:
    """The package with this version or ARN; without one, the newest with the status.

    Raises:
        NoPackageError: there is none.
    """
    found = packages(sagemaker, group, None if reference else status)
    if reference is None:
        if found:
            return found[0]
        wanted = f"no {status} package" if status else "no package"
        hint = "see `scones model list`" if status else "run the pipeline first"
        raise NoPackageError(f"the model package group {group} has {wanted}: {hint}")
    for package in found:
        if reference in (package.arn, str(package.version)):
            return package
    raise NoPackageError(
        f"the model package group {group} has no package {reference}: see `scones model list`"
    )


def approved(sagemaker: Any, group: str, reference: str | None = None) -> Package:
    """The package to deploy: the newest that is approved, or the named one if it is.

    Raises:
        NoPackageError: nothing is approved, or the named package is not.
    """
    if reference is None:
        found = packages(sagemaker, group, "Approved")
        if not found:
            raise NoPackageError(
                f"the model package group {group} has no approved package to deploy: "
                "look at `scones model list` and approve one with `scones model approve`"
            )
        return found[0]
    package = find(sagemaker, group, reference)
    if package.status != "Approved":
        raise NoPackageError(
            f"package {package.version} of {group} is {package.status}: approve it first with "
            f"`scones model approve {package.version}`"
        )
    return package


def describe(clients: Clients, package: Package) -> PackageDetails:
    response = clients("sagemaker").describe_model_package(ModelPackageName=package.arn)
    statistics = response.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {})
    uri = statistics.get("S3Uri")
    content = objects.read_if_there(clients("s3"), uri) if uri else None
    evaluation = json.loads(content) if content else {}
    metrics = evaluation.get("multiclass_classification_metrics", {})
    return PackageDetails(
        arn=package.arn,
        version=package.version,
        status=response["ModelApprovalStatus"],
        created=package.created,
        note=response.get("ApprovalDescription"),
        metadata=response.get("CustomerMetadataProperties", {}),
        model_data=response["InferenceSpecification"]["Containers"][0]["ModelDataUrl"],
        evaluation_uri=uri,
        accuracy=metrics.get("accuracy", {}).get("value"),
        images=evaluation.get("images"),
        calibration_error=evaluation.get("calibration", {}).get("expected_calibration_error"),
        comparison=evaluation.get("comparison"),
        hyperparameters=evaluation.get("hyperparameters"),
    )


def decide(sagemaker: Any, package: Package, status: Status, note: str | None = None) -> None:
    """Approves or rejects. On AWS this is what starts a deployment, by an event."""
    extra = {"ApprovalDescription": note} if note else {}
    sagemaker.update_model_package(ModelPackageArn=package.arn, ModelApprovalStatus=status, **extra)


def pending(sagemaker: Any, settings: Settings, reference: str | None) -> Package:
    """What a decision is about: the named package, or else the newest that waits for one."""
    return find(sagemaker, settings.model_package_group, reference, "PendingManualApproval")
