"""What the options before the command chose, and the way from them to settings and AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Environment = Annotated[
    str | None,
    typer.Option(help="Whose endpoint: dev, staging, prod or a name of yours; SCONES_ENVIRONMENT."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before changing anything.")]


def load_settings(context: typer.Context, environment: str | None = None, complete: bool = True) -> Settings:
    """For the target that was named before the command; `environment` is in place of the settings' own."""
    from pipeline import settings

    return settings.load(complete=complete, target=context.obj, environment=environment)


def draft(context: typer.Context, environment: str | None = None) -> tuple[Settings, Clients]:
    """Settings that may want bucket and roles, and clients of the place that they name."""
    from pipeline import clients

    loaded = load_settings(context, environment, complete=False)
    return loaded, clients.connect(loaded)


def connect(context: typer.Context, environment: str | None = None) -> tuple[Settings, Clients]:
    """Settings, with what the foundation stack made where they name nothing else, and clients."""
    from pipeline import foundation

    settings, clients = draft(context, environment)
    return foundation.fill_in(settings, clients), clients
