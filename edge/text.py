"""Texts as people see them: what would move a terminal is written out, and one thing is not called several."""

import difflib
from collections.abc import Iterable


def printable(text: str) -> str:
    """The text with everything that is not printable written out: what others named must not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def dotted(keys: Iterable[object]) -> str:
    """The keys that lead to a value, as in `artifacts.openvino.path`; a key may be whatever somebody wrote."""
    return printable(".".join(map(str, keys)))


def counted(count: int, one: str, many: str | None = None) -> str:
    """The count with its noun; the plural is made with an s unless it is given."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def did_you_mean(given: str, names: Iterable[str]) -> str:
    """The question after the nearest of these names, as in `did you mean 'recall'? `; empty if none is near."""
    near = difflib.get_close_matches(given, [*names], 1)
    return f"did you mean {near[0]!r}? " if near else ""


def reason_of(error: Exception) -> str:
    """Why something failed, in one line, without the number and the path that the text of an OSError repeats."""
    said = (error.strerror if isinstance(error, OSError) else None) or str(error).strip() or type(error).__name__
    return said.splitlines()[0]
