"""How wide text will be, near enough to leave room for it: fonts are only known where it is looked at."""

from __future__ import annotations

import re
import unicodedata

FONT, SMALL = 13.0, 11.0
LINE = 16.0
NAME_CHARACTERS, LABEL_CHARACTERS, LABEL_LINES = 26, 24, 3
# Widths in em, of the widest of the common sans-serif faces (DejaVu Sans).
_NARROW, _WIDE = frozenset("iIjlrtf.,:;'|!()[]{} \"`-"), frozenset("mwMW@%&")


def width(text: str, size: float = SMALL, bold: bool = False) -> float:
    """In pixels."""
    em = 0.0
    for character in text:
        if unicodedata.east_asian_width(character) in "WF":
            em += 1.05
        elif character in _NARROW:
            em += 0.39
        elif character in _WIDE:
            em += 0.98
        else:
            em += 0.71 if character.isupper() else 0.63
    return em * size * (1.1 if bold else 1.0)


def name_lines(name: str) -> tuple[str, ...]:
    """A name in lines short enough for a box, broken where its words begin."""
    return _wrapped(name, NAME_CHARACTERS) or ("",)


def label_lines(label: str) -> tuple[str, ...]:
    """An edge's label in at most three lines; the tooltip has the whole of it."""
    lines = _wrapped(label, LABEL_CHARACTERS)
    if len(lines) <= LABEL_LINES:
        return lines
    return (*lines[: LABEL_LINES - 1], lines[LABEL_LINES - 1][: LABEL_CHARACTERS - 2] + " …")


def _wrapped(text: str, characters: int) -> tuple[str, ...]:
    lines: list[str] = [""]
    for word in text.split():
        for index, piece in enumerate(_pieces(word, characters)):
            space = " " if index == 0 and lines[-1] else ""
            if len(lines[-1]) + len(space) + len(piece) <= characters:
                lines[-1] += space + piece
            else:
                lines.append(piece)
    return tuple(line for line in lines if line)


def _pieces(word: str, characters: int) -> list[str]:
    """A word; one too long for a line in parts, between its own words or else anywhere."""
    if len(word) <= characters:
        return [word]
    parts = re.split(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[_/-])(?=\w)|(?=\.)", word)
    return [part[start : start + characters] for part in parts for start in range(0, len(part), characters)]


def size_of_text(lines: tuple[str, ...], bold: bool = False) -> tuple[float, float]:
    """Width and height of some lines: names are bold and of the larger size."""
    size = FONT if bold else SMALL
    widest = max((width(line, size, bold) for line in lines), default=0.0)
    return widest + 8, len(lines) * LINE


def caption_size(caption: str) -> float:
    return width(caption, SMALL)
