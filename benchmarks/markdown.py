"""Building blocks of the benchmarks' pages."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any


def paragraph(text: str) -> str:
    """Text wrapped to the width of a page, and an empty line."""
    return fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table whose first `words` columns are text, the others numbers."""
    lines = [head, ("---",) * words + ("---:",) * (len(head) - words), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def machine_words(machine: dict[str, Any]) -> str:
    """The machine of `edge.bench.machine()` in one clause, without unknown items."""
    versions = {**{name: machine[name] for name in ("openvino", "onnxruntime") if name in machine}}
    versions |= machine.get("versions") or {}
    words = [
        str(machine.get("cpu", "an unknown processor")),
        f"{machine['cores']} cores" if machine.get("cores") else "",
        f"load {machine['load_1_min']} before" if machine.get("load_1_min") is not None else "",
        str(machine.get("system", "")),
        f"Python {machine['python']}" if machine.get("python") else "",
        *(f"{name} {versions[name]}" for name in ("openvino", "onnxruntime") if name in versions),
    ]
    return ", ".join(word for word in words if word)


def goals(found: Sequence[dict[str, Any]]) -> str:
    """A table of goals: the goal, the result, and whether it is reached."""
    rows = [(one["goal"], one["found"], "yes" if one["reached"] else "**no**") for one in found]
    return table(("goal", "found", "reached"), rows, words=3)


def goal(text: str, found: float, limit: float, unit: str, at_least: bool = False, digits: int = 2) -> dict[str, Any]:
    """One row of `goals`."""
    reached = found >= limit if at_least else found <= limit
    return {"goal": f"{text} {'≥' if at_least else '≤'} {limit:g}{unit}", "found": f"{found:.{digits}f}{unit}"} | {
        "reached": reached
    }
