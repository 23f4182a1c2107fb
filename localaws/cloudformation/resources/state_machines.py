"""AWS::StepFunctions: state machines."""

from __future__ import annotations

from typing import Any

from localaws.cloudformation.errors import ResourceError
from localaws.cloudformation.resource_types import (
    Context,
    Properties,
    ResourceType,
    tag_list,
    without_missing,
)


class StateMachine(ResourceType):
    name = "AWS::StepFunctions::StateMachine"
    name_property = "StateMachineName"
    name_length = 80
    replaced_by = frozenset({"StateMachineName", "StateMachineType"})
    properties = frozenset(
        {
            "DefinitionS3Location",
            "DefinitionString",
            "DefinitionSubstitutions",
            "LoggingConfiguration",
            "RoleArn",
            "StateMachineName",
            "StateMachineType",
            "Tags",
            "TracingConfiguration",
        }
    )

    def physical_id(self, context: Context, name: str) -> str:
        return context.arn("states", f"stateMachine:{name}")

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        return {"Arn": physical_id, "Name": physical_id.rpartition(":")[2]}

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        tags = [{"key": tag["Key"], "value": tag["Value"]} for tag in tag_list(context, properties)]
        context.call(
            "stepfunctions",
            "create_state_machine",
            name=physical_id.rpartition(":")[2],
            type=properties.get("StateMachineType", "STANDARD"),
            tags=tags,
            **_settings(context, properties),
        )

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:  # noqa: ARG002
        context.call(
            "stepfunctions", "update_state_machine", stateMachineArn=physical_id, **_settings(context, new)
        )

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(context.client("stepfunctions").delete_state_machine, stateMachineArn=physical_id)


def _settings(context: Context, properties: Properties) -> dict[str, Any]:
    settings = {"definition": _definition(context, properties), "roleArn": properties["RoleArn"]}
    if "LoggingConfiguration" in properties:
        logging = properties["LoggingConfiguration"]
        settings["loggingConfiguration"] = {
            "level": logging.get("Level", "OFF"),
            "includeExecutionData": logging.get("IncludeExecutionData", False),
            "destinations": [
                {"cloudWatchLogsLogGroup": {"logGroupArn": item["CloudWatchLogsLogGroup"]["LogGroupArn"]}}
                for item in logging.get("Destinations", [])
            ],
        }
    if "TracingConfiguration" in properties:
        enabled = properties["TracingConfiguration"].get("Enabled", False)
        settings["tracingConfiguration"] = {"enabled": enabled}
    return settings


def _definition(context: Context, properties: Properties) -> str:
    """The definition from where the template has it, with its substitutions."""
    if "DefinitionS3Location" in properties:
        place = properties["DefinitionS3Location"]
        version = {"VersionId": place["Version"]} if "Version" in place else {}
        answer = context.client("s3").get_object(Bucket=place["Bucket"], Key=place["Key"], **version)
        text: str = answer["Body"].read().decode()
    elif "DefinitionString" in properties:
        text = properties["DefinitionString"]
    else:
        raise ResourceError("Property DefinitionString or DefinitionS3Location is required")
    # Only `${Name}` is a placeholder: `$.path` and `$$.Execution` are the States Language's own.
    for name, value in (properties.get("DefinitionSubstitutions") or {}).items():
        text = text.replace(f"${{{name}}}", str(value))
    return text
