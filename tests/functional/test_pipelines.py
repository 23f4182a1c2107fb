"""Pipelines as resources, over HTTP: stored, versioned, checked, listed, deleted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.jobs import ROLE


@pytest.fixture(scope="module")
def sagemaker(client: Callable[..., Any]) -> Any:
    return client("sagemaker")


@pytest.fixture
def name() -> str:
    return f"pipeline-{uuid.uuid4().hex[:8]}"


def definition(message: str = "no") -> str:
    steps = [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": message}}]
    return json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": steps})


def test_create_describe_update_versions_delete(sagemaker: Any, name: str) -> None:
    arn = sagemaker.create_pipeline(
        PipelineName=name,
        PipelineDefinition=definition("first"),
        RoleArn=ROLE,
        PipelineDescription="one",
        Tags=[{"Key": "team", "Value": "scones"}],
    )["PipelineArn"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "scones"}]
    updated = sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=definition("second"))
    assert updated["PipelineVersionId"] == 2
    assert sagemaker.update_pipeline(PipelineName=name, PipelineDescription="two")["PipelineVersionId"] == 2

    described = sagemaker.describe_pipeline(PipelineName=arn)
    assert described["PipelineDescription"] == "two"
    assert described["PipelineDefinition"] == definition("second")
    assert described["PipelineStatus"] == "Active"
    first = sagemaker.describe_pipeline(PipelineName=name, PipelineVersionId=1)
    assert first["PipelineDefinition"] == definition("first")
    versions = sagemaker.list_pipeline_versions(PipelineName=name)["PipelineVersionSummaries"]
    assert [version["PipelineVersionId"] for version in versions] == [2, 1]

    sagemaker.delete_pipeline(PipelineName=name)
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="does not exist"):
        sagemaker.describe_pipeline(PipelineName=name)


def test_a_name_is_taken_once_but_a_token_makes_one_pipeline(sagemaker: Any, name: str) -> None:
    request = {"PipelineName": name, "PipelineDefinition": definition(), "RoleArn": ROLE}
    token = uuid.uuid4().hex
    first = sagemaker.create_pipeline(**request, ClientRequestToken=token)
    again = sagemaker.create_pipeline(**request, ClientRequestToken=token)
    assert first["PipelineArn"] == again["PipelineArn"]
    # The words that the SageMaker SDK's upsert looks for.
    with pytest.raises(ClientError, match="already exists") as caught:
        sagemaker.create_pipeline(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_definition_from_s3(sagemaker: Any, client: Any, name: str) -> None:
    bucket = f"definitions-{uuid.uuid4().hex[:8]}"
    client("s3").create_bucket(Bucket=bucket)
    client("s3").put_object(Bucket=bucket, Key="p.json", Body=definition("from S3").encode())
    location = {"Bucket": bucket, "ObjectKey": "p.json"}
    sagemaker.create_pipeline(PipelineName=name, PipelineDefinitionS3Location=location, RoleArn=ROLE)
    assert sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"] == definition("from S3")
    with pytest.raises(ClientError, match="cannot be read"):
        sagemaker.update_pipeline(
            PipelineName=name, PipelineDefinitionS3Location={"Bucket": bucket, "ObjectKey": "other"}
        )


def test_a_wrong_definition_is_refused_and_changes_nothing(sagemaker: Any, name: str) -> None:
    with pytest.raises(ClientError, match="not valid JSON"):
        sagemaker.create_pipeline(PipelineName=name, PipelineDefinition="{", RoleArn=ROLE)
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_pipeline(PipelineName=name)
    sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=definition(), RoleArn=ROLE)
    with pytest.raises(ClientError, match="Steps must name at least one step"):
        sagemaker.update_pipeline(
            PipelineName=name, PipelineDefinition='{"Version": "2020-12-01"}', PipelineDescription="new"
        )
    assert "PipelineDescription" not in sagemaker.describe_pipeline(PipelineName=name)


def test_aliases_name_one_version(sagemaker: Any, name: str) -> None:
    sagemaker.create_pipeline(
        PipelineName=name, PipelineDefinition=definition("a"), RoleArn=ROLE, PipelineVersionAliases=["live"]
    )
    sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=definition("b"))
    live = sagemaker.describe_pipeline(PipelineName=name, PipelineVersionAlias="live")
    assert live["PipelineDefinition"] == definition("a")
    sagemaker.update_pipeline_version(
        PipelineArn=live["PipelineArn"],
        PipelineVersionId=2,
        PipelineVersionDescription="the second",
        PipelineVersionAliasOperations={"Add": ["live"]},
    )
    live = sagemaker.describe_pipeline(PipelineName=name, PipelineVersionAlias="live")
    assert live["PipelineDefinition"] == definition("b")
    assert live["PipelineVersionDescription"] == "the second"
    first = sagemaker.describe_pipeline(PipelineName=name, PipelineVersionId=1)
    assert "PipelineVersionAliases" not in first


def test_pages_and_prefixes(sagemaker: Any) -> None:
    prefix = f"many{uuid.uuid4().hex[:8]}"
    for number in range(3):
        sagemaker.create_pipeline(
            PipelineName=f"{prefix}-{number}", PipelineDefinition=definition(), RoleArn=ROLE
        )
    pages = sagemaker.get_paginator("list_pipelines").paginate(
        PipelineNamePrefix=prefix, SortBy="Name", PaginationConfig={"PageSize": 2}
    )
    sizes = [[each["PipelineName"][-1] for each in page["PipelineSummaries"]] for page in pages]
    assert sizes == [["0", "1"], ["2"]]
