"""What the documents tell a person to type exists."""

import re
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(app: typer.Typer) -> dict[str, object]:
    """Every command line that `scones` knows, such as "pipeline upsert", with its Click command."""
    found = {}

    def walk(command, path):
        children = getattr(command, "commands", None)
        if children is None:
            found[" ".join(path)] = command
            return
        for name, child in children.items():
            walk(child, [*path, name])

    walk(typer.main.get_command(app), [])
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, object]:
    from pipeline.cli import app

    return commands(app)


def typed(pattern: str) -> list[tuple[str, str]]:
    return [
        (path.name, match.group(1).strip())
        for path in DOCUMENTS
        for match in re.finditer(pattern, path.read_text(), re.MULTILINE)
    ]


@pytest.mark.parametrize(("document", "line"), typed(r"(?:^|`|\$ )(?:\S+/)?scones ([a-z][^`\n#|]*)"))
def test_documented_command_exists(document, line, known):
    words = [word for word in line.split() if re.fullmatch(r"[a-z][a-z-]*", word)]
    candidates = [" ".join(words[:length]) for length in (1, 2, 3)]
    groups = {name.split()[0] for name in known}
    assert any(name in known for name in candidates) or (len(words) == 1 and words[0] in groups), (
        f"{document} says `scones {line}`"
    )


@pytest.mark.parametrize(("document", "line"), typed(r"(?:^|`)make ([a-z]+)"))
def test_documented_target_exists(document, line):
    assert re.search(rf"^{line}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{document}: make {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_linked_file_exists(document):
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_command_is_documented_and_helps(known):
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    for name, command in known.items():
        assert command.help, f"`scones {name}` has no help"
        assert re.search(rf"scones {name}\b", text), f"no document mentions `scones {name}`"
