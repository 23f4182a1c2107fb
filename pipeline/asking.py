"""Asking a person before something is changed."""

from __future__ import annotations

import sys


class ConfirmationError(Exception):
    """There is nobody to ask, or the person said no."""


def confirm(question: str, refused: str, yes: bool = False) -> None:
    """Returns once the answer is yes, which `yes` gives beforehand.

    Raises:
        ConfirmationError: it is not; `refused` says what was not done.
    """
    if not yes and not confirmed(question, refused):
        raise ConfirmationError(refused)


def confirmed(question: str, refused: str) -> bool:
    """Only `y` and `yes` are yes.

    Raises:
        ConfirmationError: nobody can be asked.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfirmationError(f"{refused}: there is no terminal to ask in, so say --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
