"""Images that wait for a person: collected from the queue, kept on S3 while they are open, and answered.

A message in a queue is hidden from everybody else while one reads it, and gone once it is deleted. So the
queue only carries items: whoever looks first puts each on S3 and deletes its message then, and never before.
What is decided is Step Functions' to say: it takes one answer for a token, and no second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from workflows import ClientFactory
from workflows.plan import WorkflowPlan

REJECTED = "ReviewRejected"
# Step Functions forgets an execution with its state machine, and 90 days after its end.
GONE = "ExecutionDoesNotExist"
_CLOSED_TOKEN = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


class NoReviewError(Exception):
    """There is no such item, or no queue of them."""


class ReviewClosedError(Exception):
    """An answer to an item that has been decided, or has run out of time."""


class ImageGoneError(Exception):
    """An item is older than its image, which expires with the others of the workflow."""


@dataclass(frozen=True)
class ReviewItem:
    """An image that waits, or waited, for a person.

    Attributes:
        id: the execution's name.
        inferences: a probability a class, in [0, 1].
        asked: when the execution began to wait, ISO 8601.
        status: `open`, or what came of it: the label, `rejected`, or the execution's error or status.
    """

    id: str
    execution_arn: str
    task_token: str
    s3_bucket: str
    s3_key: str
    inferences: list[float]
    asked: str
    status: str = "open"

    def as_dict(self) -> dict[str, Any]:
        """Without the token, which is the right to answer."""
        return {name: value for name, value in asdict(self).items() if name != "task_token"}


class Reviews:
    """The items of one workflow: `<prefix>/reviews/open/<id>.json`, later under `closed/`."""

    def __init__(self, client: ClientFactory, plan: WorkflowPlan) -> None:
        self._s3, self._sqs, self._steps = client("s3"), client("sqs"), client("stepfunctions")
        self._bucket, self._queue = plan.bucket, plan.review_queue_name
        self._place = f"{plan.prefix}/reviews/{plan.name_prefix}"

    def open(self) -> list[ReviewItem]:
        """What waits, the longest waiting first. A heartbeat is sent for each: somebody is looking."""
        self._collect()
        waiting = []
        for item in self._items("open"):
            try:
                self._steps.send_task_heartbeat(taskToken=item.task_token)
            except ClientError as error:
                if error.response["Error"]["Code"] not in _CLOSED_TOKEN:
                    raise
                self._close(item)
            else:
                waiting.append(item)
        return sorted(waiting, key=lambda item: item.asked)

    def closed(self) -> list[ReviewItem]:
        """What was decided or ran out of time, the latest asked first."""
        return sorted(self._items("closed"), key=lambda item: item.asked, reverse=True)

    def find(self, name: str) -> ReviewItem:
        """An item by its id or the beginning of one, among the open ones first.

        Raises:
            NoReviewError: none, or more than one.
        """
        for items in (self.open(), self.closed()):
            found = [item for item in items if item.id == name] or [
                item for item in items if item.id.startswith(name)
            ]
            if len(found) > 1:
                raise NoReviewError(f"{name} begins the ids of {len(found)} items: give more of it")
            if found:
                return found[0]
        raise NoReviewError(f"no image waits as {name}: `scones review list` shows those that do")

    def answer(self, item: ReviewItem, label: str | None, reviewer: str) -> None:
        """Sends the person's label, or a rejection for None.

        Raises:
            ReviewClosedError: it was answered before, or its time is over.
        """
        if item.status != "open":
            raise ReviewClosedError(f"{item.id} is closed already: {item.status}")
        image = f"s3://{item.s3_bucket}/{item.s3_key}"
        try:
            if label is None:
                self._steps.send_task_failure(
                    taskToken=item.task_token,
                    error=REJECTED,
                    cause=f"{reviewer} says that {image} shows none of the classes.",
                )
            else:
                said = {"label": label, "reviewer": reviewer, "answered": datetime.now(UTC).isoformat()}
                self._steps.send_task_success(taskToken=item.task_token, output=json.dumps(said))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _CLOSED_TOKEN:
                raise
            raise ReviewClosedError(
                f"{item.id} is closed already: it was answered before, or its time is over"
            ) from None

    def labelled(self, classes: Sequence[str]) -> list[ReviewItem]:
        """Those that a person found to show one of the classes, the latest asked first."""
        self.open()  # what was answered since somebody looked is put among the closed ones
        return [item for item in self.closed() if item.status in classes]

    def image(self, item: ReviewItem) -> bytes:
        """The picture's file.

        Raises:
            ImageGoneError: it has expired, or was deleted.
        """
        try:
            body: bytes = self._s3.get_object(Bucket=item.s3_bucket, Key=item.s3_key)["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            raise ImageGoneError(f"the image of {item.id} is no longer at {item.s3_key}") from None
        return body

    def _collect(self) -> None:
        """Moves messages from the queue to S3: first there, then gone here, so that none is ever nowhere."""
        try:
            url = self._sqs.get_queue_url(QueueName=self._queue)["QueueUrl"]
        except ClientError as error:
            if "NonExistentQueue" not in error.response["Error"]["Code"]:
                raise
            raise NoReviewError(
                "there is no review queue: set `review` to true and run `scones workflow deploy`"
            ) from None
        # Without a wait only some of the queue's servers are asked, and an empty answer says nothing.
        request = {"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}
        while messages := self._sqs.receive_message(**request).get("Messages"):
            for message in messages:
                body = json.loads(message["Body"])
                self._put("open", ReviewItem(id=body["execution_arn"].rsplit(":", 1)[-1], **body))
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def _close(self, item: ReviewItem) -> None:
        """Into the closed ones, once its execution has ended and it is known as what."""
        try:
            found = self._steps.describe_execution(executionArn=item.execution_arn)
        except self._steps.exceptions.ExecutionDoesNotExist:
            found = {"status": GONE}
        if found["status"] == "RUNNING":
            return
        if found["status"] == "SUCCEEDED":
            status = json.loads(found["output"])["review"]["label"]
        else:
            status = "rejected" if found.get("error") == REJECTED else found.get("error") or found["status"]
        self._put("closed", ReviewItem(**asdict(item) | {"status": status, "task_token": ""}))
        self._s3.delete_object(Bucket=self._bucket, Key=self._key("open", item.id))

    def _items(self, where: str) -> list[ReviewItem]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._place}/{where}/"
        )
        items = []
        for found in (entry for page in pages for entry in page.get("Contents", [])):
            try:
                body = self._s3.get_object(Bucket=self._bucket, Key=found["Key"])["Body"].read()
            except self._s3.exceptions.NoSuchKey:
                continue  # somebody else has closed it in the meantime
            items.append(ReviewItem(**json.loads(body)))
        return items

    def _put(self, where: str, item: ReviewItem) -> None:
        body = json.dumps(asdict(item)).encode()
        self._s3.put_object(Bucket=self._bucket, Key=self._key(where, item.id), Body=body)

    def _key(self, where: str, name: str) -> str:
        return f"{self._place}/{where}/{name}.json"
