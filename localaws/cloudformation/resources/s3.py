"""AWS::S3: buckets and their policies."""

from __future__ import annotations

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

# What puts a property into effect: the operation, its parameter, and the operation that takes it back.
_SETTINGS: dict[str, tuple[str, str, str | None]] = {
    "BucketEncryption": (
        "put_bucket_encryption",
        "ServerSideEncryptionConfiguration",
        "delete_bucket_encryption",
    ),
    "VersioningConfiguration": ("put_bucket_versioning", "VersioningConfiguration", None),
    "PublicAccessBlockConfiguration": (
        "put_public_access_block",
        "PublicAccessBlockConfiguration",
        "delete_public_access_block",
    ),
    "OwnershipControls": (
        "put_bucket_ownership_controls",
        "OwnershipControls",
        "delete_bucket_ownership_controls",
    ),
    "LifecycleConfiguration": (
        "put_bucket_lifecycle_configuration",
        "LifecycleConfiguration",
        "delete_bucket_lifecycle",
    ),
    "Tags": ("put_bucket_tagging", "Tagging", None),
}


class Bucket(ResourceType):
    name = "AWS::S3::Bucket"
    name_property = "BucketName"
    name_length = 63
    replaced_by = frozenset({"BucketName"})
    properties = frozenset({"BucketName", *_SETTINGS})

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
        self.update(context, physical_id, {}, properties)

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:
        for name, (put, parameter, remove) in _SETTINGS.items():
            value = _value(context, name, new)
            if value is None:
                if remove and name in old:
                    context.call("s3", remove, Bucket=physical_id)
            elif name == "Tags" or old.get(name) != new[name]:
                context.call("s3", put, Bucket=physical_id, **{parameter: value})

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(context.client("s3").delete_bucket, Bucket=physical_id)


def _value(context: Context, name: str, properties: Properties) -> Any:
    """What S3 takes for a property; None for one that is not wanted."""
    if name == "Tags":
        tags = tag_list(context, properties)
        return {"TagSet": tags} if tags or name in properties else None
    value = properties.get(name)
    if value is None:
        return None
    if name == "BucketEncryption":
        rules = [
            {
                "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
                "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            }
            for rule in value.get("ServerSideEncryptionConfiguration") or []
        ]
        return {"Rules": rules}
    if name == "LifecycleConfiguration":
        return {"Rules": [_rule(rule) for rule in value.get("Rules", [])]}
    return value


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
