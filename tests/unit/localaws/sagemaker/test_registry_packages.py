"""The model registry and models, called as operations; nothing here touches S3."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localaws.sagemaker.errors import ConflictError, ValidationError
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.store import Store
from localaws.stack import Stack
from tests.shapes import assert_answer

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
SPECIFICATION = {
    "Containers": [{"Image": IMAGE, "Environment": {"COLOUR": "red"}}],
    "SupportedContentTypes": ["image/png"],
    "SupportedResponseMIMETypes": ["application/json"],
}


class Checked(SageMakerService):
    """Each answer is held against the operation's output shape."""

    def call(self, name, request):
        answer = super().call(name, request)
        assert_answer("sagemaker", name, answer)
        return answer


def new_service(folder) -> SageMakerService:
    return Checked(Stack(root=folder, port=1, store=Store(folder / "sagemaker.db")))


@pytest.fixture
def service(tmp_path):
    service = new_service(tmp_path)
    service.call("CreateModelPackageGroup", {"ModelPackageGroupName": "scones"})
    return service


def register(service, **members):
    request = {"ModelPackageGroupName": "scones", "InferenceSpecification": SPECIFICATION} | members
    return service.call("CreateModelPackage", request)["ModelPackageArn"]


def describe(service, name):
    return service.call("DescribeModelPackage", {"ModelPackageName": name})


def test_versions_count_up_and_wait_for_approval(service):
    first, second = register(service), register(service)

    assert (first, second) == (
        "arn:aws:sagemaker:us-east-1:123456789012:model-package/scones/1",
        "arn:aws:sagemaker:us-east-1:123456789012:model-package/scones/2",
    )
    package = describe(service, second)
    assert package["ModelPackageVersion"] == 2
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ModelPackageStatus"] == "Completed"
    assert package["InferenceSpecification"] == SPECIFICATION


def test_a_version_is_never_given_out_twice(service):
    register(service)
    service.call("DeleteModelPackage", {"ModelPackageName": register(service)})

    assert register(service).endswith("scones/3")


def test_a_repeated_client_token_registers_once(service):
    first = register(service, ClientToken="token-of-one-request")

    assert register(service, ClientToken="token-of-one-request") == first
    assert register(service, ClientToken="token-of-another") != first


def test_a_package_is_found_by_arn_and_by_group_and_version(service):
    arn = register(service)

    assert describe(service, "scones/1") == describe(service, arn)


def test_an_unversioned_package_has_a_name_and_no_approval(service):
    arn = register(service, ModelPackageGroupName=None, ModelPackageName="lone")

    package = describe(service, "lone")
    assert package["ModelPackageArn"] == arn
    assert "ModelApprovalStatus" not in package
    assert "ModelPackageVersion" not in package
    with pytest.raises(ValidationError, match="no approval status"):
        service.call("UpdateModelPackage", {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"})
    with pytest.raises(ValidationError, match="already exists"):
        register(service, ModelPackageGroupName=None, ModelPackageName="lone")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"ModelPackageGroupName": None}, "either ModelPackageGroupName"),
        ({"ModelPackageName": "both"}, "either ModelPackageGroupName"),
        ({"ModelPackageGroupName": "missing"}, "model-package-group/missing does not exist"),
        ({"InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://b/k"}]}}, "needs an Image"),
        (
            {
                "InferenceSpecification": {
                    "Containers": [{"Image": IMAGE, "ModelDataUrl": "https://host/model.tar.gz"}]
                }
            },
            "not an S3 URI",
        ),
    ],
)
def test_a_package_that_cannot_be_registered_is_refused_and_leaves_no_version(service, members, says):
    with pytest.raises(ValidationError, match=says):
        register(service, **members)

    assert register(service).endswith("scones/1")


def test_approval_is_announced_with_the_package_as_the_detail(service):
    events = []
    service.listeners.append(events.append)
    arn = register(service)

    service.call(
        "UpdateModelPackage",
        {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved", "ApprovalDescription": "looks right"},
    )

    assert [event["detail"]["ModelApprovalStatus"] for event in events] == [
        "PendingManualApproval",
        "Approved",
    ]
    assert events[-1]["detail-type"] == "SageMaker Model Package State Change"
    assert events[-1]["resources"] == [arn]
    updated = {"UpdatedModelPackageFields": ["ApprovalDescription", "ModelApprovalStatus"]}
    assert events[-1]["detail"] == describe(service, arn) | updated
    assert describe(service, arn)["ApprovalDescription"] == "looks right"
    assert describe(service, arn)["LastModifiedTime"] >= describe(service, arn)["CreationTime"]


def test_metadata_is_merged_and_removed(service):
    arn = register(service, CustomerMetadataProperties={"commit": "abc", "data": "d1"})

    service.call(
        "UpdateModelPackage",
        {
            "ModelPackageArn": arn,
            "CustomerMetadataProperties": {"data": "d2", "ticket": "7"},
            "CustomerMetadataPropertiesToRemove": ["commit"],
        },
    )

    assert describe(service, arn)["CustomerMetadataProperties"] == {"data": "d2", "ticket": "7"}


def test_listing_by_group_status_and_kind(service):
    service.call("CreateModelPackageGroup", {"ModelPackageGroupName": "other"})
    approved, pending = register(service, ModelApprovalStatus="Approved"), register(service)
    register(service, ModelPackageGroupName="other")
    lone = register(service, ModelPackageGroupName=None, ModelPackageName="lone")

    def arns(**request):
        answer = service.call("ListModelPackages", request)
        return [summary["ModelPackageArn"] for summary in answer["ModelPackageSummaryList"]]

    assert arns(ModelPackageGroupName="scones") == [approved, pending]  # the oldest first
    assert arns(ModelPackageGroupName="scones", ModelApprovalStatus="Approved") == [approved]
    assert arns() == [lone]  # SageMaker lists unversioned packages unless told otherwise
    assert len(arns(ModelPackageType="Versioned")) == 3
    assert len(arns(ModelPackageType="Both")) == 4


def test_a_group_with_packages_is_not_deleted(service):
    arn = register(service)

    with pytest.raises(ConflictError, match="still holds"):
        service.call("DeleteModelPackageGroup", {"ModelPackageGroupName": "scones"})
    service.call("DeleteModelPackage", {"ModelPackageName": arn})
    service.call("DeleteModelPackageGroup", {"ModelPackageGroupName": "scones"})

    with pytest.raises(ValidationError, match="does not exist"):
        service.call("DescribeModelPackageGroup", {"ModelPackageGroupName": "scones"})


def test_several_packages_are_described_at_once(service):
    arn = register(service)
    missing = arn.replace("/1", "/9")

    answer = service.call("BatchDescribeModelPackage", {"ModelPackageArnList": [arn, missing]})

    assert answer["ModelPackageSummaries"][arn]["ModelPackageVersion"] == 1
    assert "does not exist" in answer["BatchDescribeModelPackageErrorMap"][missing]["ErrorResponse"]


@pytest.mark.parametrize("status", ["PendingManualApproval", "Rejected"])
def test_only_an_approved_package_becomes_a_model(service, status):
    arn = register(service, ModelApprovalStatus=status)

    with pytest.raises(ValidationError, match=f"approval status is {status}"):
        create_model(service, {"ModelPackageName": arn})
    with pytest.raises(ValidationError, match="Could not find model"):
        service.call("DescribeModel", {"ModelName": "classifier"})


def create_model(service, container):
    request = {
        "ModelName": "classifier",
        "Containers": [container],
        "ExecutionRoleArn": "arn:aws:iam::123456789012:role/scones",
    }
    return service.call("CreateModel", request)


def test_a_model_made_from_a_package_outlives_it(service):
    arn = register(service, ModelApprovalStatus="Approved")
    create_model(service, {"ModelPackageName": arn, "Environment": {"SHAPE": "round"}})
    service.call("DeleteModelPackage", {"ModelPackageName": arn})

    model = service.store.get("Model", "classifier")
    assert model["_Resolved"] == [
        {"Image": IMAGE, "ModelDataUrl": None, "Environment": {"COLOUR": "red", "SHAPE": "round"}}
    ]
    answer = service.call("DescribeModel", {"ModelName": "classifier"})
    assert answer["Containers"] == [{"ModelPackageName": arn, "Environment": {"SHAPE": "round"}}]
    assert not [key for key in answer if key.startswith("_")]


def test_a_model_name_is_taken_once(service):
    create_model(service, {"Image": IMAGE})

    with pytest.raises(ValidationError, match="already existing model"):
        create_model(service, {"Image": IMAGE})


def test_an_image_that_nothing_stands_in_for_makes_no_model(service):
    with pytest.raises(ValidationError, match="No runner stands in for the image me/mine:1"):
        create_model(service, {"Image": "me/mine:1"})


@settings(deadline=None, max_examples=25)  # of files and databases, on whatever disk
@given(deleted=st.lists(st.booleans(), min_size=1, max_size=8))
def test_versions_only_grow_whatever_is_deleted(tmp_path_factory, deleted):
    service = new_service(tmp_path_factory.mktemp("stack"))
    service.call("CreateModelPackageGroup", {"ModelPackageGroupName": "scones"})

    versions = []
    for delete in deleted:
        arn = register(service)
        versions.append(int(arn.rpartition("/")[2]))
        if delete:
            service.call("DeleteModelPackage", {"ModelPackageName": arn})

    assert versions == list(range(1, len(deleted) + 1))
    service.store.close()


def test_lists_and_descriptions_of_all_kinds_are_whole(service):
    register(service, ModelApprovalStatus="Approved")
    create_model(service, {"Image": IMAGE})
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "classifier",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    service.call("CreateEndpointConfig", {"EndpointConfigName": "config", "ProductionVariants": [variant]})

    for what, members in {
        "ModelPackageGroups": "ModelPackageGroupSummaryList",
        "Models": "Models",
        "EndpointConfigs": "EndpointConfigs",
    }.items():
        assert len(service.call(f"List{what}", {})[members]) == 1
    group = service.call("DescribeModelPackageGroup", {"ModelPackageGroupName": "scones"})
    assert group["ModelPackageGroupStatus"] == "Completed"
    config = service.call("DescribeEndpointConfig", {"EndpointConfigName": "config"})
    assert config["ProductionVariants"] == [{"InitialVariantWeight": 1.0, **variant}]
    service.call("DeleteEndpointConfig", {"EndpointConfigName": "config"})
    service.call("DeleteModel", {"ModelName": "classifier"})
    assert service.call("ListModels", {}) == {"Models": []}
