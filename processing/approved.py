"""FindApprovedModel: which model of the group is approved now, and where its data is.

    python -m processing.approved --group scones --region us-east-1 --otherwise s3://… --output-dir out

A small job that is never cached and needs the network, so that EvaluateModel can be cached, by the answer,
and isolated. It writes approved.json: `model_package_arn` ("none" if there is none), `model_data`, an S3 URI
that can be read (the one given with --otherwise if the model cannot), and `note`: why it cannot, or "none".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from processing.comparison import NO_PACKAGE
from processing.job import JobError, run
from processing.outputs import write_files

# A job's argument, which `note` becomes, has 256 characters at most.
NOTE_CHARACTERS = 240
NO_NOTE = "none"


class RegistryError(JobError):
    """The registry cannot be read."""


@dataclass(frozen=True)
class ApprovedModel:
    model_package_arn: str
    model_data: str
    note: str = NO_NOTE


def find(sagemaker: Any, s3: Any, group: str, otherwise: str) -> ApprovedModel:
    """The newest approved package of the group. Raises `RegistryError`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        package = _newest(sagemaker, group)
        if package is None:
            return ApprovedModel(NO_PACKAGE, otherwise)
        described = sagemaker.describe_model_package(ModelPackageName=package)
    except ClientError as error:
        details = error.response["Error"]
        raise RegistryError(
            f"the approved model of {group} cannot be looked up: {details['Message']} "
            f"({details['Code']}); the job's role needs sagemaker:ListModelPackages and "
            "sagemaker:DescribeModelPackage, which `scones foundation deploy` gives it"
        ) from None
    except BotoCoreError as error:
        raise RegistryError(f"the approved model of {group} cannot be looked up: {error}") from None
    uri = described.get("InferenceSpecification", {}).get("Containers", [{}])[0].get("ModelDataUrl", "")
    reason = _unreadable(s3, uri)
    return ApprovedModel(package, otherwise, reason) if reason else ApprovedModel(package, uri)


def _newest(sagemaker: Any, group: str) -> str | None:
    from botocore.exceptions import ClientError

    request = {"ModelPackageGroupName": group, "ModelApprovalStatus": "Approved"}
    pages = sagemaker.get_paginator("list_model_packages").paginate(**request)
    try:
        found = [summary for page in pages for summary in page["ModelPackageSummaryList"]]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    # Two packages of one second are told apart by their versions.
    newest = max(found, key=lambda summary: summary["ModelPackageVersion"], default=None)
    return newest["ModelPackageArn"] if newest else None


def _unreadable(s3: Any, uri: str) -> str | None:
    """Why the model's data cannot be an input of a job; None if it can."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not key.endswith("/model.tar.gz"):
        return f"its data is no model.tar.gz but {uri or 'kept otherwise'}"[:NOTE_CHARACTERS]
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        answer = {"403": "the job's role may not read", "404": "nothing is at"}
        code = error.response["Error"]["Code"]
        if code not in answer:
            raise RegistryError(f"{uri} cannot be looked at: {error}") from None
        return f"{answer[code]} {uri}"[:NOTE_CHARACTERS]
    except BotoCoreError as error:  # a network that leads to SageMaker and not to S3
        raise RegistryError(f"{uri} cannot be looked at: {error}") from None
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m processing.approved", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--group", required=True, help="the model package group")
    parser.add_argument("--region", required=True)
    parser.add_argument("--otherwise", required=True, help="an S3 URI to name where there is no model")
    parser.add_argument("--output-dir", required=True, type=Path)
    given = parser.parse_args(arguments)
    found = find(*_clients(given.region), given.group, given.otherwise)
    write_files(given.output_dir, {"approved.json": (json.dumps(asdict(found), indent=2) + "\n").encode()})
    print(f"approved: {found.model_package_arn}" + (f" ({found.note})" if found.note != NO_NOTE else ""))


def _clients(region: str) -> tuple[Any, Any]:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": 5})
    return tuple(boto3.client(service, region_name=region, config=config) for service in ("sagemaker", "s3"))


if __name__ == "__main__":
    sys.exit(run(main))
