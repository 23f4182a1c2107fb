"""AWS::SageMaker: what lives as long as the account does. Endpoints and jobs have commands of their own."""

from __future__ import annotations

from botocore.exceptions import ClientError

from localaws.cloudformation.resource_types import (
    Context,
    Properties,
    ResourceType,
    chosen,
    tag_list,
)


class ModelPackageGroup(ResourceType):
    name = "AWS::SageMaker::ModelPackageGroup"
    name_property = "ModelPackageGroupName"
    name_length = 63
    replaced_by = frozenset({"ModelPackageGroupName", "ModelPackageGroupDescription"})
    properties = frozenset({"ModelPackageGroupDescription", "ModelPackageGroupName", "Tags"})

    def physical_id(self, context: Context, name: str) -> str:
        return context.arn("sagemaker", f"model-package-group/{name}")

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        return {"ModelPackageGroupArn": physical_id, "ModelPackageGroupStatus": "Completed"}

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        context.call(
            "sagemaker",
            "create_model_package_group",
            ModelPackageGroupName=physical_id.rpartition("/")[2],
            Tags=tag_list(context, properties),
            **chosen(properties, "ModelPackageGroupDescription"),
        )

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:  # noqa: ARG002
        tags = tag_list(context, new)
        if tags:
            context.client("sagemaker").add_tags(ResourceArn=physical_id, Tags=tags)

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        group = physical_id.rpartition("/")[2]
        try:
            context.client("sagemaker").delete_model_package_group(ModelPackageGroupName=group)
        except ClientError as error:
            if "does not exist" not in error.response["Error"]["Message"]:
                raise
