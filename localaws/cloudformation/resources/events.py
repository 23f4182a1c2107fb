"""AWS::Events: rules of the default event bus."""

from __future__ import annotations

from localaws.cloudformation.resource_types import (
    Context,
    Properties,
    ResourceType,
    chosen,
    json_text,
    without_missing,
)


class Rule(ResourceType):
    name = "AWS::Events::Rule"
    name_property = "Name"
    replaced_by = frozenset({"Name"})
    properties = frozenset(
        {"Name", "Description", "EventPattern", "RoleArn", "ScheduleExpression", "State", "Targets"}
    )

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        return {"Arn": context.arn("events", f"rule/{physical_id}")}

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        self.update(context, physical_id, {}, properties)

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:
        pattern = {"EventPattern": json_text(new["EventPattern"])} if "EventPattern" in new else {}
        context.call(
            "events",
            "put_rule",
            Name=physical_id,
            **pattern,
            **chosen(new, "Description", "RoleArn", "ScheduleExpression", "State"),
        )
        gone = {target["Id"] for target in old.get("Targets", [])} - {
            target["Id"] for target in new.get("Targets", [])
        }
        if gone:
            context.client("events").remove_targets(Rule=physical_id, Ids=sorted(gone))
        if new.get("Targets"):
            context.call("events", "put_targets", Rule=physical_id, Targets=new["Targets"])

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:
        events = context.client("events")
        ids = [target["Id"] for target in properties.get("Targets", [])]
        if ids:
            without_missing(events.remove_targets, Rule=physical_id, Ids=ids)
        without_missing(events.delete_rule, Name=physical_id)
