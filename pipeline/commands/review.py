"""`scones review …`"""

from __future__ import annotations

import getpass
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.context import Json, connect

if TYPE_CHECKING:
    from workflows.review import Reviews

app = typer.Typer(no_args_is_help=True, help="Images that wait for a person to decide.")
Item = Annotated[str, typer.Argument(metavar="ID", help="From the list; the beginning is enough.")]
COLUMNS = ("id", "asked", "status", "s3_key")


@app.command("list")
def list_items(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones as well.")] = False,
    as_json: Json = False,
) -> None:
    """List the images that wait."""
    _, reviews = _reviews(context)
    from pipeline import console

    items = reviews.open() + (reviews.closed() if everything else [])
    console.print_rows([item.as_dict() for item in items], COLUMNS, "no image waits", as_json)


@app.command()
def show(
    context: typer.Context,
    item: Item,
    out: Annotated[Path, typer.Option(help="The folder to save the picture in.")] = Path("out/review"),
) -> None:
    """Save the picture, draw it in a terminal, and print its probabilities."""
    classes, reviews = _reviews(context)
    from pipeline import console, files, halfblocks

    found = reviews.find(item)
    picture = reviews.image(found)
    path = out / f"{found.id}{Path(found.s3_key).suffix}"
    files.write(path, picture)
    if console.console.is_terminal:
        print(halfblocks.drawing(picture))
    for name, probability in zip(classes, found.inferences, strict=False):
        print(f"{name}\t{probability:.3f}")
    print(path)


@app.command()
def answer(
    context: typer.Context,
    item: Item,
    label: Annotated[str | None, typer.Argument(help="The class that it shows.")] = None,
    reject: Annotated[bool, typer.Option("--reject", help="It shows none of the classes.")] = False,
) -> None:
    """Decide: the execution goes on with your label, which is kept beside the image."""
    classes, reviews = _reviews(context)
    if reject == (label is not None):
        raise typer.BadParameter("give a label, or --reject")
    if label is not None and label not in classes:
        raise typer.BadParameter(f"{label} is no class: known are {', '.join(classes)}")
    found = reviews.find(item)
    reviews.answer(found, label, getpass.getuser())
    print(f"{found.id}: {label or 'rejected'}")


@app.command()
def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The folder; what is there is kept.")] = Path("out/reviewed"),
) -> None:
    """Save the images that a person named, a folder a class: more to train on.

    `scones pipeline start --data` takes such a folder.
    """
    classes, reviews = _reviews(context)
    from pipeline import files
    from workflows.review import ImageGoneError

    labelled = reviews.labelled(classes)
    gone = 0
    for item in labelled:
        if list((out / item.status).glob(f"{item.id}.*")):
            continue
        try:
            picture = reviews.image(item)
        except ImageGoneError:
            gone += 1
        else:
            files.write(out / item.status / f"{item.id}.{_suffix(picture)}", picture)
    print(
        f"{len(labelled) - gone:,} images that a person named are in {out}"
        if labelled
        else "none was named yet"
    )
    if gone:
        print(f"{gone:,} more have expired", file=sys.stderr)


def _suffix(picture: bytes) -> str:
    """By the format, since a key may be called anything."""
    from PIL import Image

    with Image.open(BytesIO(picture)) as image:
        return {"JPEG": "jpg"}.get(str(image.format), str(image.format).lower())


def _reviews(context: typer.Context) -> tuple[tuple[str, ...], Reviews]:
    """With the names of the classes of what is reviewed."""
    settings, clients = connect(context)
    from pipeline import inference
    from workflows.review import Reviews

    return inference.classes(clients, settings), Reviews(clients, inference.workflow_plan(settings))
