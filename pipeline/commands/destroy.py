"""`scones destroy`"""

from __future__ import annotations

import sys

import typer

from pipeline.commands.context import Yes, draft


def destroy(context: typer.Context, yes: Yes = False) -> None:
    """Remove everything that the commands made, data and models included; lists it and asks first."""
    settings, clients = draft(context)
    from pipeline import change_sets
    from pipeline import destroy as destroying

    items = destroying.find(clients, settings)
    if not items:
        print("there is nothing to remove")
        return
    where = f"{settings.target}, region {settings.region}"
    print(f"this removes from {where}, in this order:")
    for item in items:
        print(f"  {item.kind} {item.name}" + (f" ({item.note})" if item.note else ""))
    for told in destroying.kept(clients):
        print(f"this stays: {told}")
    if not yes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise change_sets.ConfirmationError(
                "nothing was removed: there is no terminal to ask in, so say --yes to remove all of this"
            )
        if not change_sets.confirmed("remove all of it, for good?"):
            raise change_sets.ConfirmationError("nothing was removed")
    for item in destroying.destroy(items):
        print(f"removed {item.kind} {item.name}", flush=True)
