"""AWS::CloudWatch: alarms and dashboards."""

from __future__ import annotations

from localaws.cloudformation.resource_types import (
    Context,
    Properties,
    PutResource,
    json_text,
    tag_list,
    without_missing,
)


class Alarm(PutResource):
    name = "AWS::CloudWatch::Alarm"
    name_property = "AlarmName"
    name_length = 255
    replaced_by = frozenset({"AlarmName"})
    properties = frozenset(
        {
            "ActionsEnabled",
            "AlarmActions",
            "AlarmDescription",
            "AlarmName",
            "ComparisonOperator",
            "DatapointsToAlarm",
            "Dimensions",
            "EvaluationPeriods",
            "ExtendedStatistic",
            "InsufficientDataActions",
            "MetricName",
            "Metrics",
            "Namespace",
            "OKActions",
            "Period",
            "Statistic",
            "Tags",
            "Threshold",
            "TreatMissingData",
            "Unit",
        }
    )

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        return {"Arn": context.arn("cloudwatch", f"alarm:{physical_id}")}

    def put(self, context: Context, physical_id: str, properties: Properties) -> None:
        settings = {key: value for key, value in properties.items() if key not in ("AlarmName", "Tags")}
        context.call(
            "cloudwatch",
            "put_metric_alarm",
            AlarmName=physical_id,
            Tags=tag_list(context, properties),
            **settings,
        )

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        context.client("cloudwatch").delete_alarms(AlarmNames=[physical_id])


class Dashboard(PutResource):
    name = "AWS::CloudWatch::Dashboard"
    name_property = "DashboardName"
    name_length = 255
    replaced_by = frozenset({"DashboardName"})
    properties = frozenset({"DashboardBody", "DashboardName"})

    def put(self, context: Context, physical_id: str, properties: Properties) -> None:
        body = json_text(properties["DashboardBody"])
        context.call("cloudwatch", "put_dashboard", DashboardName=physical_id, DashboardBody=body)

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(context.client("cloudwatch").delete_dashboards, DashboardNames=[physical_id])
