"""edge-bench compare: the differences between two benchmarks that exceed the noise."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.text import counted

if TYPE_CHECKING:
    from edge.bench.compare import Comparison, Figure


def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE.json", help="File that edge-bench --out wrote.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER.json", help="A file measured later or on another machine.")],
    fail_on_slower: Annotated[
        bool, typer.Option("--fail-on-slower", help="Exit with code 1 if a latency or the throughput is worse.")
    ] = False,
    floor: Annotated[
        float, typer.Option(help="Smallest change of a latency that is reported, as a share.", min=0, max=1)
    ] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON on standard output.")] = False,
) -> None:
    """Say what is slower or faster.

    A change is reported if the 95 % interval of the ratio excludes 1 and the change is at least --floor. Measurements
    of the same bundle, setting and rate are compared. Doubts come first: another machine, other versions, a busy
    machine.
    """
    from edge.bench import compare as comparing
    from edge.errors import EdgeError

    found = comparing.compare(comparing.read_result(before), comparing.read_result(after), floor)
    if not found.pairs:
        raise EdgeError(f"{before} and {after} have no measurement in common: same bundle, setting, size and pace")
    if as_json:
        print(json.dumps(comparing.as_json(found)))
    else:
        _show(found)
    sys.exit(1 if fail_on_slower and found.is_slower else 0)


def _show(found: "Comparison") -> None:
    from rich.markup import escape
    from rich.table import Table

    from edge.terminal.console import Console

    console = Console()
    console = console if console.is_terminal else Console(width=180)
    for doubt in found.doubts:
        console.print(f"[bold]CAUTION[/bold] {escape(doubt)}", highlight=False, soft_wrap=True)
    table = Table(caption="after ÷ before; in brackets its 95 % interval; * others disturbed it")
    table.add_column("measurement", overflow="fold")
    for name in ("", "before", "after", "ratio", ""):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for pair in found.pairs:
        for number, one in enumerate(pair.figures):
            name = escape(pair.name) + (" *" if pair.disturbed else "") if number == 0 else ""
            style = {"slower": "red", "worse": "red", "faster": "green", "better": "green"}.get(one.word)
            last = number == len(pair.figures) - 1
            table.add_row(name, one.name, f"{one.before:.2f}", f"{one.after:.2f}", _ratio(one), one.word,
                          style=style, end_section=last)  # fmt: skip
    console.print(table)
    for when, names in (("before", found.only_before), ("after", found.only_after)):
        for name in names:
            console.print(f"only {when}: {escape(name)}", highlight=False, soft_wrap=True)
    counts = [sum(f.word == word for p in found.pairs for f in p.figures) for word in ("slower", "faster")]
    console.print(f"{counts[0]} slower, {counts[1]} faster, of {counted(len(found.pairs), 'measurement')}")


def _ratio(one: "Figure") -> str:
    if one.low is None or one.high is None:
        return f"{one.ratio:.3f}"
    high = "–" if one.high == float("inf") else f"{one.high:.3f}"
    return f"{one.ratio:.3f} \\[{one.low:.3f}, {high}]"
