"""AWS::S3: buckets and their policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localaws.cloudformation.errors import ResourceError
from localaws.cloudformation.resource_types import (
    Context,
    Properties,
    PutResource,
    ResourceType,
    json_text,
    tag_list,
    without_missing,
)

# CloudFormation's names of a lifecycle rule's parts → S3's.
_RULE = {
    "Id": "ID",
    "Status": "Status",
    "Prefix": "Prefix",
    "NoncurrentVersionExpiration": "NoncurrentVersionExpiration",
    "AbortIncompleteMultipartUpload": "AbortIncompleteMultipartUpload",
}
_EXPIRATION = {"ExpirationInDays": "Days", "ExpiredObjectDeleteMarker": "ExpiredObjectDeleteMarker"}


class Bucket(ResourceType):
    name = "AWS::S3::Bucket"
    name_property = "BucketName"
    name_length = 63
    replaced_by = frozenset({"BucketName"})
    properties = frozenset(
        {
            "BucketName",
            "BucketEncryption",
            "LifecycleConfiguration",
            "NotificationConfiguration",
            "OwnershipControls",
            "PublicAccessBlockConfiguration",
            "Tags",
            "VersioningConfiguration",
        }
    )

    def physical_id(self, context: Context, name: str) -> str:  # noqa: ARG002
        return name.lower()

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        domain = f"{physical_id}.s3.amazonaws.com"
        regional = f"{physical_id}.s3.{context.stack.region}.amazonaws.com"
        return {"Arn": f"arn:aws:s3:::{physical_id}", "DomainName": domain, "RegionalDomainName": regional}

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        s3, region = context.client("s3"), context.stack.region
        if physical_id in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            raise ResourceError(f"{physical_id} already exists")
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=physical_id, **place)
        for change in self._settings(context, physical_id, properties).values():
            if change:
                change()

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:
        removals = {
            "BucketEncryption": "delete_bucket_encryption",
            "LifecycleConfiguration": "delete_bucket_lifecycle",
            "OwnershipControls": "delete_bucket_ownership_controls",
            "PublicAccessBlockConfiguration": "delete_public_access_block",
        }
        for name, change in self._settings(context, physical_id, new).items():
            if change and (name == "Tags" or old.get(name) != new.get(name)):
                change()
            elif name in old and name in removals:
                getattr(context.client("s3"), removals[name])(Bucket=physical_id)

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(context.client("s3").delete_bucket, Bucket=physical_id)

    def _settings(
        self, context: Context, bucket: str, properties: Properties
    ) -> dict[str, Callable[[], Any] | None]:
        """By property: what puts it into effect; None for one that is not wanted."""
        encryption = properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration")
        rules = [
            {
                "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
                "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            }
            for rule in encryption or []
        ]
        parts: dict[str, tuple[str, str, Any]] = {
            "BucketEncryption": (
                "put_bucket_encryption",
                "ServerSideEncryptionConfiguration",
                {"Rules": rules},
            ),
            "VersioningConfiguration": (
                "put_bucket_versioning",
                "VersioningConfiguration",
                properties.get("VersioningConfiguration"),
            ),
            "PublicAccessBlockConfiguration": (
                "put_public_access_block",
                "PublicAccessBlockConfiguration",
                properties.get("PublicAccessBlockConfiguration"),
            ),
            "OwnershipControls": (
                "put_bucket_ownership_controls",
                "OwnershipControls",
                properties.get("OwnershipControls"),
            ),
            "LifecycleConfiguration": (
                "put_bucket_lifecycle_configuration",
                "LifecycleConfiguration",
                {
                    "Rules": [
                        _rule(rule) for rule in properties.get("LifecycleConfiguration", {}).get("Rules", [])
                    ]
                },
            ),
            "NotificationConfiguration": (
                "put_bucket_notification_configuration",
                "NotificationConfiguration",
                {"EventBridgeConfiguration": {}},
            ),
            "Tags": ("put_bucket_tagging", "Tagging", {"TagSet": tag_list(context, properties)}),
        }

        def change(operation: str, parameter: str, value: Any) -> Callable[[], Any]:
            return lambda: context.call("s3", operation, Bucket=bucket, **{parameter: value})

        wanted = {*properties} | ({"Tags"} if tag_list(context, properties) else set())
        return {name: change(*part) if name in wanted else None for name, part in parts.items()}


def _rule(rule: Properties) -> Properties:
    made = {_RULE[key]: value for key, value in rule.items() if key in _RULE}
    expiration = {_EXPIRATION[key]: value for key, value in rule.items() if key in _EXPIRATION}
    if expiration:
        made["Expiration"] = expiration
    made["Filter"] = {"Prefix": made.pop("Prefix", "")}
    return made


class BucketPolicy(PutResource):
    name = "AWS::S3::BucketPolicy"
    replaced_by = frozenset({"Bucket"})
    properties = frozenset({"Bucket", "PolicyDocument"})

    def put(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        policy = json_text(properties["PolicyDocument"])
        context.call("s3", "put_bucket_policy", Bucket=properties["Bucket"], Policy=policy)

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(context.client("s3").delete_bucket_policy, Bucket=properties["Bucket"])
