"""What the options before the command chose, and the way from them to settings and AWS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before changing anything.")]


@dataclass(frozen=True)
class Chosen:
    """The options before the command."""

    target: str | None = None


def load_settings(context: typer.Context) -> Settings:
    from pipeline import settings

    chosen = context.obj or Chosen()
    return settings.load(target=chosen.target)


def connect(context: typer.Context) -> tuple[Settings, Clients]:
    """Settings, and clients of the place that they name."""
    from pipeline import clients

    settings = load_settings(context)
    return settings, clients.connect(settings)
