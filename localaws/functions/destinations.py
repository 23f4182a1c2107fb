"""Where an asynchronous event goes that a function failed at each time: its OnFailure destination.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from localaws.functions.functions import Function
from localaws.functions.runtime_api import Invocation
from localaws.functions.worker import Outcome
from localaws.stack import Stack
from localaws.timestamps import iso_milliseconds


class UnsupportedDestinationError(Exception):
    """A kind of destination that is not reached from here."""


def record(function: Function, invocation: Invocation, attempts: int, outcome: Outcome | None) -> str:
    """What the destination gets, as JSON; `outcome` is None where the function could not be run at all."""
    content: dict[str, Any] = {
        "version": "1.0",
        "timestamp": iso_milliseconds(datetime.now(UTC)),
        "requestContext": {
            "requestId": invocation.request_id,
            "functionArn": f"{function.arn}:{function.version}",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": attempts,
        },
        "requestPayload": json.loads(invocation.payload),
    }
    if outcome:
        content["responseContext"] = {
            "statusCode": 200,
            "executedVersion": function.version,
            "functionError": "Unhandled",
        }
        content["responsePayload"] = json.loads(outcome.payload)
    return json.dumps(content)


def send(stack: Stack, role: str, destination: str, text: str) -> None:
    """As the function's role, whose rights it takes. Raises ClientError or UnsupportedDestinationError."""
    service = destination.split(":")[2]
    if service not in ("sns", "sqs", "lambda"):
        raise UnsupportedDestinationError(f"failed events are not delivered to {destination} here")
    client = stack.client(service, role)
    if service == "sns":
        client.publish(TopicArn=destination, Message=text)
    elif service == "sqs":
        url = client.get_queue_url(QueueName=destination.rpartition(":")[2])["QueueUrl"]
        client.send_message(QueueUrl=url, MessageBody=text)
    else:
        client.invoke(FunctionName=destination, InvocationType="Event", Payload=text)
