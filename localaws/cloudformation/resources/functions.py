"""AWS::Lambda: functions from zips, who may invoke them, and what comes of failed asynchronous events."""

from __future__ import annotations

from typing import Any

from localaws.cloudformation.resource_types import (
    Context,
    Properties,
    PutResource,
    ResourceType,
    chosen,
    tag_list,
    without_missing,
)

_SETTINGS = (
    "Description",
    "Environment",
    "Handler",
    "LoggingConfig",
    "MemorySize",
    "Role",
    "Runtime",
    "Timeout",
    "TracingConfig",
)


class Function(ResourceType):
    name = "AWS::Lambda::Function"
    name_property = "FunctionName"
    replaced_by = frozenset({"FunctionName"})
    properties = frozenset(
        {
            *_SETTINGS,
            "Code",
            "FunctionName",
            "KmsKeyArn",
            "ReservedConcurrentExecutions",
            "Tags",
        }
    )

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        return {"Arn": context.arn("lambda", f"function:{physical_id}")}

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        context.call(
            "lambda",
            "create_function",
            FunctionName=physical_id,
            Code={"ZipFile": _zip(context, properties["Code"])},
            Tags={tag["Key"]: tag["Value"] for tag in tag_list(context, properties)},
            **_settings(properties),
        )
        self._concurrency(context, physical_id, {}, properties)

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:
        if old.get("Code") != new.get("Code"):
            context.call(
                "lambda", "update_function_code", FunctionName=physical_id, ZipFile=_zip(context, new["Code"])
            )
        if _settings(old) != _settings(new):
            context.call(
                "lambda", "update_function_configuration", FunctionName=physical_id, **_settings(new)
            )
        self._concurrency(context, physical_id, old, new)

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(context.client("lambda").delete_function, FunctionName=physical_id)

    def _concurrency(self, context: Context, name: str, old: Properties, new: Properties) -> None:
        key = "ReservedConcurrentExecutions"
        if key in new and new[key] != old.get(key):
            context.call("lambda", "put_function_concurrency", FunctionName=name, **chosen(new, key))
        elif key in old and key not in new:
            context.client("lambda").delete_function_concurrency(FunctionName=name)


def _settings(properties: Properties) -> Properties:
    settings = chosen(properties, *_SETTINGS)
    if "KmsKeyArn" in properties:
        settings["KMSKeyArn"] = properties["KmsKeyArn"]
    return settings


def _zip(context: Context, code: Properties) -> bytes:
    """The package's bytes: read here, so that the function does not hang on the object's staying there."""
    where: dict[str, Any] = {"Bucket": code["S3Bucket"], "Key": code["S3Key"]}
    if "S3ObjectVersion" in code:
        where["VersionId"] = code["S3ObjectVersion"]
    body: bytes = context.client("s3").get_object(**where)["Body"].read()
    return body


class Permission(ResourceType):
    name = "AWS::Lambda::Permission"
    properties = frozenset({"Action", "FunctionName", "Principal", "SourceArn", "SourceAccount"})
    replaced_by = properties

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        context.call("lambda", "add_permission", StatementId=physical_id, **properties)

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:
        without_missing(
            context.client("lambda").remove_permission,
            FunctionName=properties["FunctionName"],
            StatementId=physical_id,
        )


class EventInvokeConfig(PutResource):
    name = "AWS::Lambda::EventInvokeConfig"
    properties = frozenset(
        {
            "DestinationConfig",
            "FunctionName",
            "MaximumEventAgeInSeconds",
            "MaximumRetryAttempts",
            "Qualifier",
        }
    )
    replaced_by = frozenset({"FunctionName", "Qualifier"})

    def put(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        context.call("lambda", "put_function_event_invoke_config", **properties)

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(
            context.client("lambda").delete_function_event_invoke_config,
            **chosen(properties, "FunctionName", "Qualifier"),
        )
