"""The exception that is shown to users."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class CchError(Exception):
    """Bad input or a failed step, in one line.

    The message names the file or key, says what is wrong, and says what to do.
    Entry points (scripts, the command line, the Snakefile) print it without a traceback.
    """

    def __init__(self, where: object, what: str, todo: str = "") -> None:
        self.where, self.what, self.todo = str(where), what, todo
        super().__init__(f"{self.where}: {what}" + (f"; {todo}" if todo else ""))


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return "did you mean ...? " with the nearest of ``known``, or '' if none is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def nearest(word: str, known: Sequence[str], command: str) -> str:
    """Return the known words if they are few, else the three nearest and the command for all."""
    if len(known) <= 3:
        return f"there are {', '.join(known)}"
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.0)
    return f"the nearest are {', '.join(near)}; `{command}` lists all"
