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


def draft(context: typer.Context) -> tuple[Settings, Clients]:
    """Settings that may want bucket and roles, and clients of the place that they name."""
    from pipeline import clients, settings

    chosen = context.obj or Chosen()
    loaded = settings.load(complete=False, target=chosen.target)
    return loaded, clients.connect(loaded)


def connect(context: typer.Context) -> tuple[Settings, Clients]:
    """Settings, with what the foundation stack made where they name nothing else, and clients."""
    from pipeline import foundation

    settings, clients = draft(context)
    return foundation.fill_in(settings, clients), clients
