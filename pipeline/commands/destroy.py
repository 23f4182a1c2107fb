"""`scones destroy`"""

from __future__ import annotations

import typer

from pipeline.commands.context import Yes, draft


def destroy(context: typer.Context, yes: Yes = False) -> None:
    """Remove everything that the commands made, data and models included; lists it and asks first."""
    settings, clients = draft(context)
    from pipeline import asking
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
    asking.confirm("remove all of it, for good?", "nothing was removed", yes)
    for item in destroying.destroy(items):
        print(f"removed {item.kind} {item.name}", flush=True)
