"""FindApprovedModel over stubbed clients, whose requests and answers the service model checks."""

import json
from datetime import UTC, datetime

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from processing import approved
from processing.approved import ApprovedModel, RegistryError

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/scones"
DATA = "s3://bucket/executions/x/model.tar.gz"
OTHERWISE = "s3://bucket/code/"


@pytest.fixture
def stubs():
    made = {}
    for service in ("sagemaker", "s3"):
        client = boto3.client(
            service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        made[service] = (client, Stubber(client))
        made[service][1].activate()
    yield made
    for _, stub in made.values():
        stub.assert_no_pending_responses()


def find(stubs) -> ApprovedModel:
    return approved.find(stubs["sagemaker"][0], stubs["s3"][0], "scones", OTHERWISE)


def expect_versions(stubs, *versions):
    summaries = [
        {
            "ModelPackageArn": f"{ARN}/{version}",
            "ModelPackageVersion": version,
            "ModelPackageStatus": "Completed",
            "CreationTime": datetime(2026, 1, 2, tzinfo=UTC),
        }
        for version in versions
    ]
    request = {"ModelPackageGroupName": "scones", "ModelApprovalStatus": "Approved"}
    stubs["sagemaker"][1].add_response("list_model_packages", {"ModelPackageSummaryList": summaries}, request)


def expect_data(stubs, container):
    answer = {
        "ModelPackageArn": f"{ARN}/10",
        "ModelPackageName": "scones",
        "CreationTime": datetime(2026, 1, 2, tzinfo=UTC),
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "InferenceSpecification": {"Containers": [{"Image": "x", **container}]},
    }
    stubs["sagemaker"][1].add_response("describe_model_package", answer, {"ModelPackageName": f"{ARN}/10"})


def test_the_newest_version(stubs):
    expect_versions(stubs, 9, 10)
    expect_data(stubs, {"ModelDataUrl": DATA})
    stubs["s3"][1].add_response("head_object", {}, {"Bucket": "bucket", "Key": "executions/x/model.tar.gz"})
    assert find(stubs) == ApprovedModel(f"{ARN}/10", DATA, "none")


def test_nothing_is_approved(stubs):
    expect_versions(stubs)
    assert find(stubs) == ApprovedModel("none", OTHERWISE)


def test_no_group_is_nothing_approved(stubs):
    stubs["sagemaker"][1].add_client_error(
        "list_model_packages", "ValidationException", "ModelPackageGroup scones does not exist."
    )
    assert find(stubs) == ApprovedModel("none", OTHERWISE)


@pytest.mark.parametrize(
    ("status", "note"), [("403", "the job's role may not read"), ("404", "nothing is at")]
)
def test_data_that_cannot_be_read_is_told(stubs, status, note):
    expect_versions(stubs, 10)
    expect_data(stubs, {"ModelDataUrl": DATA})
    stubs["s3"][1].add_client_error("head_object", status)
    assert find(stubs) == ApprovedModel(f"{ARN}/10", OTHERWISE, f"{note} {DATA}")


def test_no_way_to_s3_is_told(stubs):
    expect_versions(stubs, 10)
    expect_data(stubs, {"ModelDataUrl": DATA})
    far = boto3.client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(RegistryError, match=r"model\.tar\.gz cannot be looked at: Could not connect"):
        approved.find(stubs["sagemaker"][0], far, "scones", OTHERWISE)


@pytest.mark.parametrize("container", [{}, {"ModelDataUrl": "s3://bucket/model.bin"}])
def test_data_of_another_kind_is_told(stubs, container):
    expect_versions(stubs, 10)
    expect_data(stubs, container)
    found = find(stubs)
    assert found.model_data == OTHERWISE
    assert found.note.startswith("its data is no model.tar.gz but ")


def test_a_refusal_says_what_the_role_needs(stubs):
    stubs["sagemaker"][1].add_client_error("list_model_packages", "AccessDeniedException", "not you")
    with pytest.raises(RegistryError, match=r"not you \(AccessDenied.*needs sagemaker:ListModelPackages"):
        find(stubs)


def test_as_a_job(stubs, tmp_path, monkeypatch, capsys):
    expect_versions(stubs)
    monkeypatch.setattr(approved, "_clients", lambda _region: (stubs["sagemaker"][0], stubs["s3"][0]))
    given = ["--group", "scones", "--region", "us-east-1", "--otherwise", OTHERWISE]
    approved.main([*given, "--output-dir", str(tmp_path / "out")])
    assert json.loads((tmp_path / "out" / "approved.json").read_text()) == {
        "model_package_arn": "none",
        "model_data": OTHERWISE,
        "note": "none",
    }
    assert capsys.readouterr().out == "approved: none\n"
