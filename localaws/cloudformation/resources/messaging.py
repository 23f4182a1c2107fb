"""AWS::SQS and AWS::SNS: queues, topics, and who may send to them."""

from __future__ import annotations

from typing import Any

from localaws.cloudformation.resource_types import (
    Context,
    Properties,
    PutResource,
    ResourceType,
    json_text,
    tag_list,
    without_missing,
)

_QUEUE = frozenset(
    {
        "KmsDataKeyReusePeriodSeconds",
        "KmsMasterKeyId",
        "MessageRetentionPeriod",
        "RedrivePolicy",
        "SqsManagedSseEnabled",
        "VisibilityTimeout",
    }
)


class Queue(ResourceType):
    name = "AWS::SQS::Queue"
    name_property = "QueueName"
    name_length = 80
    replaced_by = frozenset({"QueueName"})
    properties = _QUEUE | {"QueueName", "Tags"}

    def physical_id(self, context: Context, name: str) -> str:
        # Of AWS's form: the gateway's own port may change, and a queue is found by the end of its URL.
        return f"https://sqs.{context.stack.region}.amazonaws.com/{context.stack.account}/{name}"

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        name = physical_id.rpartition("/")[2]
        return {"Arn": context.arn("sqs", name), "QueueName": name, "QueueUrl": physical_id}

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        tags = {tag["Key"]: tag["Value"] for tag in tag_list(context, properties)}
        name = physical_id.rpartition("/")[2]
        context.call("sqs", "create_queue", QueueName=name, Attributes=_attributes(properties), tags=tags)

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:  # noqa: ARG002
        context.call("sqs", "set_queue_attributes", QueueUrl=physical_id, Attributes=_attributes(new))

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(context.client("sqs").delete_queue, QueueUrl=physical_id)


def _attributes(properties: Properties) -> dict[str, Any]:
    return {name: json_text(properties[name]) for name in sorted(_QUEUE & properties.keys())}


class QueuePolicy(PutResource):
    name = "AWS::SQS::QueuePolicy"
    replaced_by = frozenset({"Queues"})
    properties = frozenset({"PolicyDocument", "Queues"})

    def put(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        self._set(context, properties, json_text(properties["PolicyDocument"]))

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(self._set, context=context, properties=properties, policy="")

    def _set(self, context: Context, properties: Properties, policy: str) -> None:
        for url in properties["Queues"]:
            context.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


class Topic(ResourceType):
    name = "AWS::SNS::Topic"
    name_property = "TopicName"
    name_length = 256
    replaced_by = frozenset({"TopicName"})
    properties = frozenset({"DisplayName", "KmsMasterKeyId", "Tags", "TopicName"})

    def physical_id(self, context: Context, name: str) -> str:
        return context.arn("sns", name)

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        return {"TopicArn": physical_id, "TopicName": physical_id.rpartition(":")[2]}

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        context.call(
            "sns",
            "create_topic",
            Name=physical_id.rpartition(":")[2],
            Attributes=_topic_attributes(properties),
            Tags=tag_list(context, properties),
        )

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:
        blank = dict.fromkeys(_topic_attributes(old), "")
        for name, value in (blank | _topic_attributes(new)).items():
            context.client("sns").set_topic_attributes(
                TopicArn=physical_id, AttributeName=name, AttributeValue=value
            )

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        without_missing(context.client("sns").delete_topic, TopicArn=physical_id)


def _topic_attributes(properties: Properties) -> dict[str, str]:
    return {name: properties[name] for name in ("DisplayName", "KmsMasterKeyId") if name in properties}


class TopicPolicy(PutResource):
    name = "AWS::SNS::TopicPolicy"
    replaced_by = frozenset({"Topics"})
    properties = frozenset({"PolicyDocument", "Topics"})

    def put(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        policy = json_text(properties["PolicyDocument"])
        for arn in properties["Topics"]:
            context.client("sns").set_topic_attributes(
                TopicArn=arn, AttributeName="Policy", AttributeValue=policy
            )

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:
        """A policy goes with its topic."""


class Subscription(ResourceType):
    name = "AWS::SNS::Subscription"
    properties = frozenset({"Endpoint", "Protocol", "TopicArn"})
    replaced_by = properties

    def create(self, context: Context, physical_id: str, properties: Properties) -> str:  # noqa: ARG002
        answer = context.call("sns", "subscribe", ReturnSubscriptionArn=True, **properties)
        return str(answer["SubscriptionArn"])

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        if physical_id.startswith("arn:"):
            without_missing(context.client("sns").unsubscribe, SubscriptionArn=physical_id)
