"""The model registry: model package groups, and the model packages (model versions) in them.

A versioned package lives in a group under the next integer, which is never given out again, and waits for a
person's approval. An unversioned one has a name of its own and no approval status.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from localaws.documents import Document
from localaws.sagemaker.artifacts import require_model_data
from localaws.sagemaker.errors import ConflictError, ValidationError
from localaws.sagemaker.operations import now, operation, page, public, tags_of
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.tags import drop_tags, set_tags

GROUP = "ModelPackageGroup"
PACKAGE = "ModelPackage"
STATE_CHANGE = "SageMaker Model Package State Change"

# The members of a CreateModelPackage request that its Describe answers as they came.
_KEPT = (
    "ModelPackageDescription",
    "ModelPackageRegistrationType",
    "InferenceSpecification",
    "ValidationSpecification",
    "SourceAlgorithmSpecification",
    "MetadataProperties",
    "ModelMetrics",
    "Domain",
    "Task",
    "SamplePayloadUrl",
    "CustomerMetadataProperties",
    "DriftCheckBaselines",
    "AdditionalInferenceSpecifications",
    "SkipModelValidation",
    "SourceUri",
    "SecurityConfig",
    "ModelCard",
    "ModelLifeCycle",
)
# Those that UpdateModelPackage replaces whole.
_REPLACED = (
    "ModelApprovalStatus",
    "ModelPackageRegistrationType",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)
_SUMMARY = (
    "ModelPackageName",
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "CreationTime",
    "ModelPackageStatus",
    "ModelApprovalStatus",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)


# --- model package groups ---


@operation("CreateModelPackageGroup")
def create_model_package_group(service: SageMakerService, request: Document) -> Document:
    name = request["ModelPackageGroupName"]
    arn = service.stack.arn(f"model-package-group/{name}")
    with service.store.transaction():
        if service.store.get(GROUP, name):
            raise ValidationError(f"Model Package Group already exists: {arn}")
        document = {
            "ModelPackageGroupName": name,
            "ModelPackageGroupArn": arn,
            "ModelPackageGroupDescription": request.get("ModelPackageGroupDescription"),
            "CreationTime": now(),
            "CreatedBy": _caller(service),
            "ModelPackageGroupStatus": "Completed",
            "_LastVersion": 0,
        }
        service.store.put(GROUP, name, document)
        set_tags(service, arn, tags_of(request))
    return {"ModelPackageGroupArn": arn}


@operation("DescribeModelPackageGroup")
def describe_model_package_group(service: SageMakerService, request: Document) -> Document:
    return public(_group(service, request["ModelPackageGroupName"]))


@operation("ListModelPackageGroups")
def list_model_package_groups(service: SageMakerService, request: Document) -> Document:
    return page(
        service.store.list(GROUP),
        request,
        member="ModelPackageGroupSummaryList",
        summary=lambda group: {key: value for key, value in group.items() if key != "CreatedBy"},
        sort={"CreationTime": "CreationTime", "Name": "ModelPackageGroupName"},
        name="ModelPackageGroupName",
        order="Ascending",
    )


@operation("DeleteModelPackageGroup")
def delete_model_package_group(service: SageMakerService, request: Document) -> Document:
    with service.store.transaction():
        group = _group(service, request["ModelPackageGroupName"])
        name, arn = group["ModelPackageGroupName"], group["ModelPackageGroupArn"]
        if service.store.list(PACKAGE, parent=name):
            raise ConflictError(f"Model Package Group {arn} still holds model packages: delete those first.")
        service.store.delete(GROUP, name)
        drop_tags(service, arn)
    return {}


# --- model packages ---


@operation("CreateModelPackage")
def create_model_package(service: SageMakerService, request: Document) -> Document:
    """Registers a model. A repeated `ClientToken` answers the package that the first request made."""
    name, group_name = request.get("ModelPackageName"), request.get("ModelPackageGroupName")
    if bool(name) == bool(group_name):
        raise ValidationError(
            "CreateModelPackage takes either ModelPackageGroupName (a new version in that group) or "
            "ModelPackageName (an unversioned package)."
        )
    _check_specification(service, request.get("InferenceSpecification"))
    with service.store.transaction():
        if group_name:
            document, made = _new_version(service, group_name, request)
        else:
            document, made = _new_unversioned(service, str(name), request), True
        arn = document["ModelPackageArn"]
        if made:
            parent = document.get("ModelPackageGroupName", "")
            service.store.put(PACKAGE, arn, document, parent=parent)
            set_tags(service, arn, tags_of(request))
    if made:
        _announce(service, document)
    return {"ModelPackageArn": arn}


@operation("DescribeModelPackage")
def describe_model_package(service: SageMakerService, request: Document) -> Document:
    return public(find_package(service, request["ModelPackageName"]))


@operation("BatchDescribeModelPackage")
def batch_describe_model_package(service: SageMakerService, request: Document) -> Document:
    found: dict[str, Document] = {}
    failed: dict[str, Document] = {}
    for arn in request["ModelPackageArnList"]:
        try:
            package = find_package(service, arn)
        except ValidationError as error:
            failed[arn] = {"ErrorCode": error.code, "ErrorResponse": str(error)}
        else:
            found[arn] = _summary(package) | {"InferenceSpecification": package.get("InferenceSpecification")}
    answer = {"ModelPackageSummaries": {arn: public(summary) for arn, summary in found.items()}}
    return answer | ({"BatchDescribeModelPackageErrorMap": failed} if failed else {})


@operation("ListModelPackages")
def list_model_packages(service: SageMakerService, request: Document) -> Document:
    """Lists unversioned packages unless a group or `ModelPackageType` says otherwise, as SageMaker does."""
    group = request.get("ModelPackageGroupName")
    kind = request.get("ModelPackageType", "Versioned" if group else "Unversioned")
    parent = _short(group) if group else None
    packages = [
        package
        for package in service.store.list(PACKAGE, parent=parent)
        if kind == "Both" or ("ModelPackageVersion" in package) == (kind == "Versioned")
    ]
    wanted = request.get("ModelApprovalStatus")
    if wanted:
        packages = [package for package in packages if package.get("ModelApprovalStatus") == wanted]
    return page(
        packages,
        request,
        member="ModelPackageSummaryList",
        summary=_summary,
        sort={"CreationTime": "CreationTime", "Name": "ModelPackageName"},
        name="ModelPackageName",
        order="Ascending",
    )


@operation("UpdateModelPackage")
def update_model_package(service: SageMakerService, request: Document) -> Document:
    package = find_package(service, request["ModelPackageArn"])
    if "ModelApprovalStatus" in request and "ModelPackageVersion" not in package:
        raise ValidationError("An unversioned model package has no approval status.")
    _check_specification(service, request.get("InferenceSpecification"))

    def change(document: Document) -> None:
        document.update({key: request[key] for key in _REPLACED if key in request})
        properties = document.get("CustomerMetadataProperties") or {}
        properties |= request.get("CustomerMetadataProperties", {})
        for key in request.get("CustomerMetadataPropertiesToRemove", []):
            properties.pop(key, None)
        document["CustomerMetadataProperties"] = properties or None
        added = request.get("AdditionalInferenceSpecificationsToAdd")
        if added:
            document["AdditionalInferenceSpecifications"] = [
                *(document.get("AdditionalInferenceSpecifications") or []),
                *added,
            ]
        document["LastModifiedTime"] = now()
        document["LastModifiedBy"] = _caller(service)

    document = service.store.update(PACKAGE, package["ModelPackageArn"], change)
    given = {re.sub("To(Add|Remove)$", "", member) for member in request} - {"ModelPackageArn"}
    _announce(service, document, updated=sorted(given))
    return {"ModelPackageArn": document["ModelPackageArn"]}


@operation("DeleteModelPackage")
def delete_model_package(service: SageMakerService, request: Document) -> Document:
    with service.store.transaction():
        arn = find_package(service, request["ModelPackageName"])["ModelPackageArn"]
        service.store.delete(PACKAGE, arn)
        drop_tags(service, arn)
    return {}


def find_package(service: SageMakerService, name: str) -> Document:
    """A package by its ARN, by `group/version`, or by an unversioned package's name."""
    arn = name if name.startswith("arn:") else service.stack.arn(f"model-package/{name}")
    document = service.store.get(PACKAGE, arn)
    if document is None:
        raise ValidationError(f"ModelPackage {arn} does not exist.")
    return document


def _group(service: SageMakerService, name: str) -> Document:
    document = service.store.get(GROUP, _short(name))
    if document is None:
        arn = service.stack.arn(f"model-package-group/{_short(name)}")
        raise ValidationError(f"ModelPackageGroup {arn} does not exist.")
    return document


def _new_version(service: SageMakerService, group_name: str, request: Document) -> tuple[Document, bool]:
    """The next version of a group, or the one that this client token made before."""
    group = _group(service, group_name)
    name, token = group["ModelPackageGroupName"], request.get("ClientToken")
    for package in service.store.list(PACKAGE, parent=name):
        if token and package.get("_ClientToken") == token:
            return package, False
    group["_LastVersion"] += 1
    service.store.put(GROUP, name, group)
    version = group["_LastVersion"]
    return {
        # No package has this name; `group/version` is what Describe takes as one.
        "ModelPackageName": f"{name}/{version}",
        "ModelPackageGroupName": name,
        "ModelPackageVersion": version,
        "ModelApprovalStatus": request.get("ModelApprovalStatus", "PendingManualApproval"),
        **_common(service, f"{name}/{version}", request),
        "_ClientToken": token,
    }, True


def _new_unversioned(service: SageMakerService, name: str, request: Document) -> Document:
    document = {"ModelPackageName": name, **_common(service, name, request)}
    if request.get("ModelApprovalStatus"):
        raise ValidationError("An unversioned model package has no approval status.")
    if service.store.get(PACKAGE, document["ModelPackageArn"]):
        raise ValidationError(f"Model Package already exists: {document['ModelPackageArn']}")
    return document


def _common(service: SageMakerService, resource: str, request: Document) -> Document:
    # The checks that SageMaker runs after the call are done by now, so a package is never Pending here.
    return {
        "ModelPackageArn": service.stack.arn(f"model-package/{resource}"),
        "CreationTime": now(),
        "CreatedBy": _caller(service),
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CertifyForMarketplace": request.get("CertifyForMarketplace", False),
        **{key: request[key] for key in _KEPT if key in request},
    }


def _check_specification(service: SageMakerService, specification: Document | None) -> None:
    for container in (specification or {}).get("Containers", []):
        if not container.get("Image"):
            raise ValidationError("InferenceSpecification: each of its Containers needs an Image.")
        if container.get("ModelDataUrl"):
            require_model_data(service.stack, container["ModelDataUrl"])


def _summary(package: Document) -> Document:
    named = "ModelPackageVersion" not in package
    return {key: package[key] for key in _SUMMARY if key in package and (named or key != "ModelPackageName")}


def _announce(service: SageMakerService, package: Document, updated: Sequence[str] = ()) -> None:
    """Tells EventBridge; the event's detail is what Describe answers, and what an update gave."""
    extra = {"UpdatedModelPackageFields": list(updated)} if updated else {}
    service.emit(STATE_CHANGE, [package["ModelPackageArn"]], public(package) | extra)


def _caller(service: SageMakerService) -> Document:
    """Who did it. There is one identity here: the account itself."""
    account = service.stack.account
    return {"IamIdentity": {"Arn": f"arn:aws:iam::{account}:root", "PrincipalId": account}}


def _short(name: Any) -> str:
    """The name in a group's name or ARN."""
    return re.sub(r"^arn:[^/]*/", "", str(name))
