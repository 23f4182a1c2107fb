"""Runs many images through the state machine for batches, follows the map, and reads the results.

A run has a folder `<prefix>/batches/<name>/` in the bucket: `manifest.json`, the list of batches that the
Distributed Map reads; `results/`, what its ResultWriter leaves; `results.jsonl`, a line an image.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from workflows import ClientFactory
from workflows.plan import WorkflowPlan

MAX_IMAGES = 100_000  # whose results the function that merges them holds in half of its memory
MAX_BATCH = 100  # whose keys and results stay under 262,144 bytes
POLL_SECONDS = (0.1, 3.0)  # between two looks at a map run: at first, and at most
ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
GOOD = ("ImageClassified", "ThresholdNotMet")


class NoBatchRunError(Exception):
    """There is no run of that name."""


@dataclass(frozen=True)
class BatchRequest:
    """What to classify, and how.

    Attributes:
        keys: of the images, none of them twice; 1 to MAX_IMAGES.
        classes: in the order of the endpoint's probabilities.
        batch_size: images that one function call classifies at most; concurrency: calls at a time.
        tolerated: how many images may fail before the run does.
        threshold: in place of the deployed one.
    """

    keys: Sequence[str]
    classes: Sequence[str]
    batch_size: int = 50
    concurrency: int = 4
    tolerated: int = 0
    threshold: float | None = None


@dataclass(frozen=True)
class BatchRun:
    """A run that was started."""

    name: str
    execution_arn: str
    images: int
    batches: int


@dataclass(frozen=True)
class BatchProgress:
    """How far a run is: images whose batch has ended, to within one a batch, and its execution's status."""

    status: str
    done: int
    images: int


@dataclass(frozen=True)
class BatchResult:
    """How a run ended.

    Attributes:
        status: the execution's: SUCCEEDED, FAILED, TIMED_OUT or ABORTED.
        error, cause: of one that did not succeed.
        results: the lines of the results file, each with `s3_key`, `predicted`, `confidence`, `outcome` and
            `error`; none where the run ended before they were written.
        results_uri: where they are.
        seconds: from the execution's start to its end.
    """

    name: str
    status: str
    error: str | None
    cause: str | None
    results: list[dict[str, Any]]
    results_uri: str | None
    seconds: float

    @property
    def outcomes(self) -> dict[str, int]:
        """How many images ended how, the most frequent first."""
        return dict(Counter(result["outcome"] for result in self.results).most_common())

    @property
    def failed(self) -> int:
        return sum(images for outcome, images in self.outcomes.items() if outcome not in GOOD)


def batches(keys: Sequence[str], size: int) -> list[Sequence[str]]:
    """The keys in order, in as few parts of at most `size` as there can be; sizes differ by one at most."""
    count = math.ceil(len(keys) / size)
    ends = [len(keys) * number // count for number in range(count + 1)] if count else []
    return [keys[start:end] for start, end in itertools.pairwise(ends)]


def start(client: ClientFactory, plan: WorkflowPlan, name: str, request: BatchRequest) -> BatchRun:
    """Writes the manifest and starts the execution of that name, which no other run may have had."""
    parts = batches(request.keys, request.batch_size)
    manifest = [{"s3_keys": list(part)} for part in parts]
    client("s3").put_object(
        Bucket=plan.bucket,
        Key=f"{plan.batches_prefix}{name}/manifest.json",
        Body=json.dumps(manifest, ensure_ascii=False).encode(),
        ContentType="application/json",
    )
    given = {
        "images": len(request.keys),
        "classes": list(request.classes),
        "threshold": request.threshold,
        "concurrency": request.concurrency,
        "tolerated_failures": request.tolerated,
        # One more failed batch than this is more images than may fail, whichever batches they are.
        "tolerated_batches": request.tolerated // min(len(part) for part in parts),
    }
    answer = client("stepfunctions").start_execution(
        stateMachineArn=plan.batch_state_machine_arn, name=name, input=json.dumps(given, ensure_ascii=False)
    )
    return BatchRun(name, answer["executionArn"], len(request.keys), len(parts))


def find(client: ClientFactory, plan: WorkflowPlan, name: str) -> BatchRun:
    """A run that was started before.

    Raises:
        NoBatchRunError: there is none of that name.
    """
    arn = plan.arn("states", f"execution:{plan.batch_state_machine_arn.rpartition(':')[2]}:{name}")
    try:
        found = client("stepfunctions").describe_execution(executionArn=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        raise NoBatchRunError(f"there is no batch run {name}: see `scones workflow list`") from None
    images = int(json.loads(found["input"]).get("images", 0))
    return BatchRun(name, arn, images, 0)


def follow(client: ClientFactory, run: BatchRun) -> Iterator[BatchProgress]:
    """How far the run is, again and again, until it has ended."""
    states = client("stepfunctions")
    pause, longest = POLL_SECONDS
    map_run: str | None = None
    done = 0
    while True:
        status = states.describe_execution(executionArn=run.execution_arn)["status"]
        if map_run is None:
            listed = states.list_map_runs(executionArn=run.execution_arn)["mapRuns"]
            map_run = listed[0]["mapRunArn"] if listed else None
        if map_run is not None:
            counts = states.describe_map_run(mapRunArn=map_run)["itemCounts"]
            ended = sum(counts[name] for name in ("succeeded", "failed", "timedOut", "aborted"))
            done = run.images * ended // max(1, counts["total"])
        yield BatchProgress(status, done, run.images)
        if status in ENDED:
            return
        time.sleep(pause)
        pause = min(pause * 1.3, longest)


def result(client: ClientFactory, plan: WorkflowPlan, run: BatchRun) -> BatchResult:
    """How an ended run ended, with all its results."""
    found = client("stepfunctions").describe_execution(executionArn=run.execution_arn)
    key = f"{plan.batches_prefix}{run.name}/results.jsonl"
    lines = _lines(client("s3"), plan.bucket, key)
    return BatchResult(
        name=run.name,
        status=found["status"],
        error=found.get("error"),
        cause=found.get("cause"),
        results=[json.loads(line) for line in lines],
        results_uri=f"s3://{plan.bucket}/{key}" if lines else None,
        seconds=(found["stopDate"] - found["startDate"]).total_seconds(),
    )


def _lines(s3: Any, bucket: str, key: str) -> list[bytes]:
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return []
    return body.splitlines()
