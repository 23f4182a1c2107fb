"""`scones pipeline …`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.context import load_settings

app = typer.Typer(no_args_is_help=True, help="The model-building pipeline and its executions.")


@app.command()
def definition(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead.")] = None,
) -> None:
    """Print the definition's JSON. Needs no credentials and no network."""
    settings = load_settings(context)
    from pipeline.definition import definition_json

    text = definition_json(settings)
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
