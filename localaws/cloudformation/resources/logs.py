"""AWS::Logs: log groups."""

from __future__ import annotations

from localaws.cloudformation.resource_types import (
    Context,
    Properties,
    ResourceType,
    chosen,
    tag_list,
    without_missing,
)


class LogGroup(ResourceType):
    name = "AWS::Logs::LogGroup"
    name_property = "LogGroupName"
    name_length = 512
    replaced_by = frozenset({"LogGroupName"})
    properties = frozenset({"LogGroupName", "KmsKeyId", "RetentionInDays", "Tags"})

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        return {"Arn": context.arn("logs", f"log-group:{physical_id}:*")}

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        tags = {tag["Key"]: tag["Value"] for tag in tag_list(context, properties)}
        key = {"kmsKeyId": properties["KmsKeyId"]} if "KmsKeyId" in properties else {}
        context.call(
            "logs", "create_log_group", logGroupName=physical_id, **key, **({"tags": tags} if tags else {})
        )
        self._retention(context, physical_id, properties)

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:
        logs = context.client("logs")
        self._retention(context, physical_id, new)
        if "KmsKeyId" in new:
            logs.associate_kms_key(logGroupName=physical_id, kmsKeyId=new["KmsKeyId"])
        elif "KmsKeyId" in old:
            logs.disassociate_kms_key(logGroupName=physical_id)

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(context.client("logs").delete_log_group, logGroupName=physical_id)

    def _retention(self, context: Context, name: str, properties: Properties) -> None:
        if "RetentionInDays" in properties:
            days = chosen(properties, "RetentionInDays")["RetentionInDays"]
            context.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
        else:
            without_missing(context.client("logs").delete_retention_policy, logGroupName=name)
