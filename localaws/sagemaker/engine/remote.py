"""Steps that others do: a Lambda function, or whoever reads a callback from a queue."""

from __future__ import annotations

import json
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.documents import Document
from localaws.sagemaker.engine import records, retries
from localaws.sagemaker.engine.definition import Step
from localaws.sagemaker.engine.expressions import evaluate
from localaws.sagemaker.engine.kinds import Kind, Result, StepError, Work, random_text
from localaws.sagemaker.engine.parameters import from_text, to_text

LAMBDA_TIMEOUT = 600  # seconds: what pipelines grant a function


class Lambda(Kind):
    """Invokes a function with the step's arguments; what it returns are the step's outputs.

    A thread waits for it and puts the answer into the record. The function runs at most once an attempt:
    one that was under way when the process died is lost.
    """

    def prepare(self, work: Work) -> Document:
        function = evaluate(work.step.document["FunctionArn"], work.context.scope())
        request = evaluate(work.step.arguments, work.context.scope())
        return {"_Function": function, "_Request": request, "Metadata": {"Lambda": {"Arn": function}}}

    def start(self, work: Work) -> Document:
        if not work.record.get("_Invoked"):
            work.context.calls.add(work.step.name)
            name = f"lambda-{work.step.name}"
            threading.Thread(target=_invoke, args=(work,), name=name, daemon=True).start()
        return {}

    def look(self, work: Work) -> Result | None:
        if "_Answer" not in work.record and work.step.name not in work.context.calls:
            return Result("Failed", "InternalServerError: the local AWS stopped while the function ran.")
        return _answered(work, "Lambda")


class Callback(Kind):
    """Puts a message with a token on a queue, and waits until somebody sends the token back.

    The message, as pipelines write it: `{"token", "pipelineExecutionArn", "arguments", "status"}`. Its status
    is `Executing`; when the execution is stopped a second one says `Stopping`, and the step still waits.
    """

    def prepare(self, work: Work) -> Document:
        queue = evaluate(work.step.document["SqsQueueUrl"], work.context.scope())
        request = evaluate(work.step.arguments, work.context.scope())
        callback = {"CallbackToken": random_text(10), "SqsQueueUrl": queue}
        return {"_Request": request, "Metadata": {"Callback": callback}}

    def start(self, work: Work) -> Document:
        token = work.record["Metadata"]["Callback"]["CallbackToken"]
        waiting = {"Execution": work.context.arn, "Step": work.step.name}
        pipeline = work.context.execution["PipelineArn"]
        records.put_token(work.context.service.store, token, waiting, pipeline)
        _send(work, "Executing")
        return {}

    def look(self, work: Work) -> Result | None:
        return _answered(work, "Callback")

    def stop(self, work: Work) -> None:
        _send(work, "Stopping")


def _invoke(work: Work) -> None:
    """Invokes the function and puts its answer into the record."""
    store, arn, step = work.context.service.store, work.context.arn, work.step.name
    # On disk first: after a kill nobody can know whether the function has run.
    records.update_step(store, arn, step, lambda record: record.update(_Invoked=True))
    try:
        answer = {"Outputs": _result(work)}
    except StepError as error:
        answer = {"Failure": str(error), "Exception": error.exception}
    if step in work.context.calls:  # somebody still waits for it
        records.update_step(store, arn, step, lambda record: record.update(_Answer=answer))


def _result(work: Work) -> Any:
    function = work.record["_Function"]
    settings = {"read_timeout": LAMBDA_TIMEOUT, "retries": {"max_attempts": 0, "mode": "standard"}}
    context = work.context
    client = context.service.stack.new_client("lambda", context.role, **settings)
    try:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(work.record["_Request"]).encode())
        payload = json.loads(answer["Payload"].read() or b"null")
    except (ClientError, BotoCoreError, ValueError) as error:
        raise _refused("lambda:InvokeFunction", error) from error
    if answer.get("FunctionError"):
        what = payload if isinstance(payload, dict) else {}
        kind, message = what.get("errorType", "Error"), what.get("errorMessage", payload)
        raise StepError(f"ClientError: Lambda function {function} failed with {kind}: {message}")
    return payload


def _send(work: Work, status: str) -> None:
    callback = work.record["Metadata"]["Callback"]
    message = {
        "token": callback["CallbackToken"],
        "pipelineExecutionArn": work.context.arn,
        "arguments": work.record["_Request"],
        "status": status,
    }
    try:
        sqs = work.context.service.stack.client("sqs", work.context.role)
        sqs.send_message(QueueUrl=callback["SqsQueueUrl"], MessageBody=json.dumps(message))
    except (ClientError, BotoCoreError) as error:
        raise _refused("sqs:SendMessage", error) from error


def _answered(work: Work, member: str) -> Result | None:
    """How the step ended, if its record has an answer."""
    answer = work.record.get("_Answer")
    if answer is None:
        return None
    if "Failure" in answer:
        return Result("Failed", answer["Failure"], answer.get("Exception"))
    outputs = _outputs(work.step, answer["Outputs"])
    shown = [{"Name": name, "Value": to_text(value)} for name, value in outputs.items()]
    metadata = {member: work.record["Metadata"][member] | {"OutputParameters": shown}}
    return Result("Succeeded", properties={"OutputParameters": outputs}, metadata=metadata)


def _outputs(step: Step, given: Any) -> Document:
    """The declared outputs with the types that they are declared with. Raises StepError."""
    if not isinstance(given, dict) and step.output_types:
        raise StepError(f"ClientError: an object with the outputs was expected, not {to_text(given)[:200]}.")
    found = {}
    for name, kind in step.output_types.items():
        if name not in given:
            raise StepError(f"ClientError: the output {name!r} is missing.")
        try:
            found[name] = from_text(to_text(given[name]), kind)
        except ValueError:
            raise StepError(
                f"ClientError: the output {name!r} must be of type {kind}, not {given[name]!r}."
            ) from None
    return found


def _refused(action: str, error: ClientError | BotoCoreError | ValueError) -> StepError:
    reason = f"ClientError: Failed to invoke {action}. Error Details: {error}"
    if not isinstance(error, ClientError):
        return StepError(reason, retries.SERVICE_FAULT)
    code = error.response["Error"]["Code"]
    if "TooManyRequests" in code or "Throttl" in code:
        return StepError(reason, retries.THROTTLING)
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return StepError(reason, retries.SERVICE_FAULT if status >= 500 else None)
