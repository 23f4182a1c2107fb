"""`scones cost`"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.commands.context import Json, load_settings


def cost(
    context: typer.Context,
    environment: Annotated[str | None, typer.Option(help="Whose endpoint.")] = None,
    invocations: Annotated[int, typer.Option(min=0, help="Of the endpoint in a month.")] = 100_000,
    images: Annotated[int, typer.Option(min=1, help="That go through the inference workflow.")] = 1000,
    as_json: Json = False,
) -> None:
    """Estimate what an execution, a month of the endpoint and images through the workflow cost on AWS.

    Asks nobody, starts nothing.
    """
    from pipeline import console
    from pipeline import cost as estimate

    loaded = load_settings(context, environment, complete=False)
    table = estimate.prices()
    parts = {
        "an execution": estimate.execution(loaded, table),
        f"a month of the {loaded.environment} endpoint": estimate.endpoint_month(loaded, table, invocations),
        f"{images:,} images in batches of 50, beside the endpoint": estimate.in_batches(table, images, 50),
        f"{images:,} images one by one, beside the endpoint": estimate.one_by_one(table, images),
    }
    if as_json:
        console.print_json(
            {
                "prices": {key: table[key] for key in ("date", "region", "source", "note")},
                **{part: [asdict(line) for line in lines] for part, lines in parts.items()},
            }
        )
        return
    for part, lines in parts.items():
        print(f"{part}: {estimate.dollars(estimate.total(lines))}")
        for line in lines:
            print(f"  {line.what}: {estimate.dollars(line.dollars)} ({line.assumption})")
    print(f"{table['region']} prices of {table['date']}, {table['source']}. {table['note']}")
