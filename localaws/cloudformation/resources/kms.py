"""AWS::KMS: keys and their aliases."""

from __future__ import annotations

from localaws.cloudformation.resource_types import (
    Context,
    Properties,
    ResourceType,
    json_text,
    tag_list,
    without_missing,
)


class Key(ResourceType):
    name = "AWS::KMS::Key"
    properties = frozenset({"Description", "EnableKeyRotation", "KeyPolicy", "PendingWindowInDays", "Tags"})

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        return {"Arn": context.arn("kms", f"key/{physical_id}"), "KeyId": physical_id}

    def create(self, context: Context, physical_id: str, properties: Properties) -> str:  # noqa: ARG002
        tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in tag_list(context, properties)]
        answer = context.call(
            "kms",
            "create_key",
            Description=properties.get("Description", ""),
            Policy=json_text(properties["KeyPolicy"]),
            Tags=tags,
        )
        key = str(answer["KeyMetadata"]["KeyId"])
        self._rotation(context, key, properties)
        return key

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:  # noqa: ARG002
        kms = context.client("kms")
        kms.put_key_policy(KeyId=physical_id, PolicyName="default", Policy=json_text(new["KeyPolicy"]))
        kms.update_key_description(KeyId=physical_id, Description=new.get("Description", ""))
        self._rotation(context, physical_id, new)

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:
        days = int(properties.get("PendingWindowInDays", 30))
        kms = context.client("kms")
        without_missing(kms.schedule_key_deletion, KeyId=physical_id, PendingWindowInDays=days)

    def _rotation(self, context: Context, key: str, properties: Properties) -> None:
        enabled = str(properties.get("EnableKeyRotation", False)).lower() == "true"
        kms = context.client("kms")
        (kms.enable_key_rotation if enabled else kms.disable_key_rotation)(KeyId=key)


class Alias(ResourceType):
    name = "AWS::KMS::Alias"
    name_property = "AliasName"
    name_length = 256
    replaced_by = frozenset({"AliasName"})
    properties = frozenset({"AliasName", "TargetKeyId"})

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        context.client("kms").create_alias(AliasName=physical_id, TargetKeyId=properties["TargetKeyId"])

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:  # noqa: ARG002
        context.client("kms").update_alias(AliasName=physical_id, TargetKeyId=new["TargetKeyId"])

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(context.client("kms").delete_alias, AliasName=physical_id)
