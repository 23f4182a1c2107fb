"""Delivers SageMaker's state changes through the account's EventBridge rules to their targets.

Rules and patterns are moto's, as are input transformers; moto itself delivers to log groups, archives and
queues only. Here every target is an ordinary request through the gateway: Lambda asynchronously, Step
Functions as an execution, SNS and SQS as a message. Whether the rule may do so (a function's permission, a
role, a topic's policy) is not looked at.
"""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.sagemaker.events import Event
from localaws.stack import Stack

log = logging.getLogger(__name__)

_ATTEMPTS = 3
_PAUSE_SECONDS = 0.5


class EventDelivery:
    """A listener of the SageMaker service.

    One thread: events reach the rules in the order in which they happened; SageMaker does not wait.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="event-delivery")

    def __call__(self, event: Event) -> None:
        self._thread.submit(self._deliver, event)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, event: Event) -> None:
        from moto.events.models import events_backends

        try:
            bus = events_backends[self._stack.account][self._stack.region].event_buses["default"]
            for rule in list(bus.rules.values()):
                if rule.state == "ENABLED" and rule.event_pattern.matches_event(event):
                    for target in list(rule.targets):
                        self._send_or_tell(rule.name, target, event)
        except Exception:  # a thread's end must not be silent
            log.exception("%s could not be delivered", event["detail-type"])

    def _send_or_tell(self, rule: str, target: dict[str, Any], event: Event) -> None:
        try:
            self._send(rule, target, event)
        except Exception:  # of one target, such as a path that this event lacks: the others get theirs
            log.exception("rule %s, target %s: %s not delivered", rule, target["Arn"], event["detail-type"])

    def _send(self, rule: str, target: dict[str, Any], event: Event) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._put(target["Arn"], target, target_input(target, event))
            except (ClientError, BotoCoreError, UnsupportedTargetError) as error:
                log.warning("rule %s, target %s, attempt %d: %s", rule, target["Arn"], attempt, error)
                if isinstance(error, UnsupportedTargetError) or attempt == _ATTEMPTS:
                    return
                time.sleep(_PAUSE_SECONDS * attempt)
            else:
                log.info("rule %s: %s to %s", rule, event["detail-type"], target["Arn"])
                return

    def _put(self, arn: str, target: dict[str, Any], text: str) -> None:
        service = arn.split(":")[2]
        if service == "lambda":
            self._stack.client(service).invoke(FunctionName=arn, InvocationType="Event", Payload=text)
        elif service == "states":
            client = self._stack.client("stepfunctions", target.get("RoleArn"))
            client.start_execution(stateMachineArn=arn, input=text)
        elif service == "sns":
            self._stack.client(service).publish(TopicArn=arn, Message=_message(text))
        elif service == "sqs":
            url = self._stack.client(service).get_queue_url(QueueName=arn.rsplit(":", 1)[-1])["QueueUrl"]
            group = target.get("SqsParameters", {}).get("MessageGroupId")
            extra = {"MessageGroupId": group} if group else {}
            self._stack.client(service).send_message(QueueUrl=url, MessageBody=_message(text), **extra)
        elif service == "logs":
            self._write_log(arn.split(":")[6], text)
        else:
            raise UnsupportedTargetError(f"events are not delivered to {service} here")

    def _write_log(self, group: str, text: str) -> None:
        logs, stream = self._stack.client("logs"), f"{time.time_ns()}"
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        line = {"timestamp": time.time_ns() // 1_000_000, "message": text}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[line])


class UnsupportedTargetError(Exception):
    """A kind of target that is not reached from here."""


def target_input(target: dict[str, Any], event: Event) -> str:
    """What the target gets: a constant, a part of the event, a transformed one, or all of it; as JSON."""
    from moto.events.models import EventTemplateParser

    if target.get("Input"):
        return str(target["Input"])
    if target.get("InputPath"):
        found: Any = event
        for name in target["InputPath"].removeprefix("$").strip(".").split("."):
            found = found[name] if name else found
        return json.dumps(found)
    transformer = target.get("InputTransformer")
    if transformer:
        event = {**event, "ingestion-time": event["time"]}
        template, paths = transformer["InputTemplate"], transformer.get("InputPathsMap", {})
        if not template.lstrip().startswith("{"):  # a text: moto's parser wants an object around it
            parsed = EventTemplateParser.parse(f'{{"text": {template}}}', paths, event)
            return json.dumps(parsed["text"] if isinstance(parsed, dict) else parsed)
        return json.dumps(EventTemplateParser.parse(template, paths, event))
    return json.dumps(event)


def _message(text: str) -> str:
    """A JSON text as a person reads it in a message; anything else stays JSON."""
    parsed = json.loads(text)
    return parsed if isinstance(parsed, str) else text
