"""`scones foundation …`"""

from __future__ import annotations

from dataclasses import asdict

import typer

from pipeline.commands.context import Json, Yes, draft

app = typer.Typer(no_args_is_help=True, help="The bucket, its key, the roles and the registry's group.")


@app.command()
def deploy(context: typer.Context, yes: Yes = False, as_json: Json = False) -> None:
    """Make or update what everything else stands on; shows the changes first."""
    settings, clients = draft(context)
    from pipeline import change_sets, console, foundation
    from workflows import deploy as stack

    plan = foundation.plan(settings, clients)
    with change_sets.output(as_json):
        done = stack.deploy(clients, plan, change_sets.approver(yes), change_sets.show_event)
    if as_json:
        console.print_json(asdict(done))
        return
    change_sets.show_result(done)
    if not plan.make_bucket:
        print(f"{plan.bucket} was there already: its encryption, versioning and policy are as you set them")
    for name, value in done.outputs.items():
        print(f"{name} {value}")
