"""The foundation stack with the settings' names, and the settings with what the stack made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, UnknownRegionError
from botocore.session import get_session

from pipeline import algorithms
from pipeline.settings import SettingsError, require_complete
from workflows import stacks
from workflows.plan import FoundationPlan

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

# The stack's outputs → the settings that they fill in where nobody set them.
OUTPUTS = {
    "BucketName": "bucket",
    "PipelineRoleArn": "role_arn",
    "ProcessingRoleArn": "processing_role_arn",
    "TrainingRoleArn": "training_role_arn",
    "ModelRoleArn": "model_role_arn",
    "KeyArn": "kms_key_arn",
}
ROLES = ("role_arn", "processing_role_arn", "training_role_arn", "model_role_arn")


def stack_name(settings: Settings) -> str:
    return FoundationPlan(settings.bucket, name_prefix=settings.endpoint_name_prefix).stack_name


def fill_in(settings: Settings, clients: Clients) -> Settings:
    """The settings, with the foundation stack's bucket, roles and key where they name none.

    One role that is set stands for all: then no other is taken from the stack.

    Raises:
        SettingsError: there is no stack, and something that is needed was not set.
    """
    needed = not (settings.bucket and settings.role_arn)
    if needed or (settings.customer_key and not settings.kms_key_arn):
        found = stacks.outputs(clients("cloudformation"), stack_name(settings))
        skipped = ROLES if settings.role_arn else ()
        update = {
            key: found[output]
            for output, key in OUTPUTS.items()
            if output in found and key not in skipped and not getattr(settings, key)
        }
        settings = settings.model_copy(update=update)
    require_complete(settings)
    return settings


def plan(settings: Settings, clients: Clients) -> FoundationPlan:
    """What the foundation is to be.

    A bucket or a model package group that is there already, and is not the stack's, stays as it is.
    """
    cloudformation = clients("cloudformation")
    made = {r["LogicalResourceId"] for r in stacks.resources(cloudformation, stack_name(settings))}
    bucket = bucket_name(settings, clients)
    return FoundationPlan(
        bucket=bucket,
        make_bucket="Bucket" in made or not is_bucket(clients("s3"), bucket),
        make_registry="Registry" in made or not _is_group(clients("sagemaker"), settings.model_package_group),
        prefix=settings.prefix,
        name_prefix=settings.endpoint_name_prefix,
        pipeline_name=settings.pipeline_name,
        model_package_group=settings.model_package_group,
        customer_key=settings.customer_key,
        jobs_in_vpc=bool(settings.subnet_ids),
        algorithm=settings.algorithm,
        training_repository_arn=repository_arn(settings.training_image_uri),
        inference_repository_arn=repository_arn(algorithms.own_inference_image(settings)),
        github_repository=settings.github_repository,
        github_provider_arn=settings.github_provider_arn,
        environment=settings.environment,
    )


def bucket_name(settings: Settings, clients: Clients) -> str:
    """What the settings say, else what the stack has, else a name with the account's number in it.

    Bucket names are taken world-wide: this one nobody else has.
    """
    present = stacks.outputs(clients("cloudformation"), stack_name(settings)).get("BucketName")
    if settings.bucket or present:
        return settings.bucket or str(present)
    account = clients("sts").get_caller_identity()["Account"]
    return f"{settings.endpoint_name_prefix.lower()[:30]}-{account}-{settings.region}"


def repository_arn(image_uri: str) -> str:
    """Of the ECR image's repository; empty for no image.

    The URI is `<account>.dkr.ecr.<region>.amazonaws.com/<repository>`, with a tag or a digest behind it: see
    `settings.ImageUri`, which lets in nothing that means more than itself in an ARN.

    Raises:
        SettingsError: the region in the URI is none of AWS's.
    """
    if not image_uri:
        return ""
    registry, _, image = image_uri.partition("/")
    account, _, _, region, *_ = registry.split(".")
    repository = image.partition("@")[0].partition(":")[0]
    try:
        partition = get_session().get_partition_for_region(region)
    except UnknownRegionError:
        raise SettingsError(f"the image {image_uri} is in the region {region}, which AWS has not") from None
    return f"arn:{partition}:ecr:{region}:{account}:repository/{repository}"


def is_bucket(s3: Any, bucket: str) -> bool:
    """Whether the bucket is there. Raises ClientError for one that is somebody else's."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            return False
        raise
    return True


def _is_group(sagemaker: Any, name: str) -> bool:
    try:
        sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return False
        raise
    return True
