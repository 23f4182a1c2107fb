"""Many images through the Distributed Map on the local AWS, and what the same costs on AWS."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from pipeline import cost
from tests.bench.workflow import deployed, local_aws
from tests.functional.endpoints import BUCKET
from workflows import batch
from workflows.plan import WorkflowPlan

IMAGES = (10, 100, 1_000, 10_000)
BATCH = 50


def main() -> None:
    table = Table(title=f"Distributed Map on the local AWS, batches of {BATCH}, {os.cpu_count()} cores")
    for column in ("images", "seconds", "images a second", "on AWS in batches", "on AWS one by one"):
        table.add_column(column, justify="right")
    prices = cost.prices()
    with local_aws() as client:
        plan, _ = deployed(client)
        keys = _upload(client, plan, max(IMAGES))
        _seconds(client, plan, keys[:BATCH])  # starts the workers
        for count in IMAGES:
            seconds = _seconds(client, plan, keys[:count])
            batches, single = cost.in_batches(prices, count, BATCH), cost.one_by_one(prices, count)
            dollars = (cost.dollars(cost.total(lines)) for lines in (batches, single))
            table.add_row(f"{count:,}", f"{seconds:.1f}", f"{count / seconds:,.0f}", *dollars)
            print(f"{count:,} images: {seconds:.1f} s", file=sys.stderr)
    Console().print(table)


def _upload(client: Callable[[str], Any], plan: WorkflowPlan, count: int) -> list[str]:
    picture = BytesIO()
    Image.effect_noise((32, 32), 64).save(picture, "PNG")
    s3 = client("s3")
    keys = [f"{plan.images_prefix}{number:05}.png" for number in range(count)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=BUCKET, Key=key, Body=picture.getvalue()), keys))
    return keys


def _seconds(client: Callable[[str], Any], plan: WorkflowPlan, keys: list[str]) -> float:
    request = batch.BatchRequest(keys, ("a", "b"), batch_size=BATCH)
    run = batch.start(client, plan, uuid.uuid4().hex, request)
    for _ in batch.follow(client, run):
        pass
    found = batch.result(client, plan, run)
    if found.outcomes != {"ImageClassified": len(keys)}:
        raise RuntimeError(f"not all were classified: {found.error} {found.cause} {found.outcomes}")
    return found.seconds


if __name__ == "__main__":
    main()
