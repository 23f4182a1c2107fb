"""`scones`: the command that drives the workflow, on AWS or on this machine."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Literal

import typer

from pipeline.commands import (
    batch,
    cost,
    demo,
    destroy,
    endpoint,
    foundation,
    local,
    model,
    monitor,
    pipeline,
    review,
    workflow,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train, gate, deploy and watch an image classifier on Amazon SageMaker, or on this machine.",
)
workflow.app.command()(batch.batch)
for name, group in (
    ("foundation", foundation.app),
    ("pipeline", pipeline.app),
    ("model", model.app),
    ("endpoint", endpoint.app),
    ("workflow", workflow.app),
    ("review", review.app),
    ("monitor", monitor.app),
    ("local", local.app),
):
    app.add_typer(group, name=name)
app.command()(demo.demo)
app.command()(destroy.destroy)
app.command()(cost.cost)


@app.callback()
def choose(
    context: typer.Context,
    target: Annotated[
        Literal["local", "aws"] | None,
        typer.Option(envvar="SCONES_TARGET", help="Where to run: AWS on this machine, or your account."),
    ] = None,
) -> None:
    context.obj = target  # as `commands.context` reads it


def main() -> None:
    """The entry point: a person's mistake ends in one sentence and exit code 1, wrong usage in 2."""
    # As Ctrl-C would: Python's own way of ending at once leaves temporary folders behind.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        app()
    except Exception as error:
        from pipeline.errors import sentence

        message = sentence(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
