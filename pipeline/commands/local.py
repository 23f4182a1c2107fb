"""`scones local …`"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.context import load_settings

if TYPE_CHECKING:
    from localaws.control import Running

app = typer.Typer(no_args_is_help=True, help="AWS on this machine.")


@app.command()
def up(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")] = 0,
) -> None:
    """Start it in the background, and print what to export so that any AWS client talks to it."""
    from localaws import control

    running = control.up(_state_dir(context), port)
    print(f"AWS runs at {running.endpoint_url}; `scones` finds it without these exports:", file=sys.stderr)
    _print_exports(running)


@app.command()
def down(context: typer.Context) -> None:
    """Stop it and everything it started. What it holds is kept for the next start."""
    from localaws import control

    state_dir = _state_dir(context)
    if control.down(state_dir):
        print("the local AWS is stopped")
    else:
        print(f"no local AWS runs in {state_dir}")


@app.command()
def status(context: typer.Context) -> None:
    """Say whether it runs and where; exit code 1 if it does not."""
    from localaws import control

    state_dir = _state_dir(context)
    running = control.status(state_dir)
    if running is None:
        print(f"no local AWS runs in {state_dir}: run `scones local up`")
        raise typer.Exit(1)
    print(f"# process {running.pid} with its state in {running.state_dir}")
    _print_exports(running)


def _state_dir(context: typer.Context) -> Path:
    return load_settings(context).state_dir


def _print_exports(running: Running) -> None:
    """Lines for a shell's `eval`, of what differs from the environment that is there already."""
    for name, value in sorted(running.environment().items()):
        if os.environ.get(name) != value:
            print(f"export {name}={shlex.quote(value)}")
