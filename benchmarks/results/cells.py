"""Building blocks of the page of results: figures as cells of a table, tables, wrapped paragraphs."""

from collections.abc import Callable, Sequence
from textwrap import fill

from benchmarks.results.outcome import Figure

NONE = "–"


def cell(figure: Figure | None, digits: int = 3) -> str:
    """The mean and its interval; below, the range of the seeds if there are several."""
    if figure is None:
        return NONE
    said = f"**{figure.mean:.{digits}f}**"
    if figure.interval:
        said += f" [{figure.interval[0]:.2f}, {figure.interval[1]:.2f}]"
    if len(figure.seeds) > 1:
        said += f"<br>{min(figure.seeds):.{digits}f}–{max(figure.seeds):.{digits}f}"
    return said


def bare_number(figure: Figure | None) -> str:
    """The mean alone."""
    return NONE if figure is None else number(figure.mean)


def number(value: float | None) -> str:
    """A figure from 0 to 1; a dash for None."""
    return NONE if value is None else f"{value:.3f}"


def span(values: Sequence[float], form: Callable[[float], str] = lambda value: f"{value:.1f}") -> str:
    """The lowest and the highest value, as one if their texts are equal."""
    ends = list(dict.fromkeys(form(value) for value in (min(values), max(values)))) if values else [NONE]
    return "–".join(ends)


def wrapped(text: str) -> str:
    """A paragraph wrapped to the width of the page, between empty lines."""
    return f"\n{fill(text.strip(), 119, break_long_words=False, break_on_hyphens=False)}\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a vertical bar in a cell becomes a slash."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(text.replace('|', '/') for text in line)} |\n" for line in lines)
