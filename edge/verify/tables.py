"""A verification as text on a terminal."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from edge.terminal.console import Console
from edge.text import counted
from edge.verify.result import Judged, Verification, judged_score

MOST = 20
"""Photographs listed in the terminal under one heading; JSON and the page have all."""


def print_checks(console: Console, done: Verification) -> None:
    """Print each artifact's result on the golden frames."""
    machine = done.machine
    table = Table(title=escape(f"{done.bundle.label}, {counted(done.threads, 'thread')}, {machine['cpu']}"))
    for column in ("backend", "golden frames", "largest difference", "allowed", "load", "inference"):
        is_name = column == "backend"
        table.add_column(column, justify="left" if is_name else "right", no_wrap=is_name)
    table.add_column("")
    for check in done.checks:
        far = "–" if check.largest_difference is None else f"{check.largest_difference:.2g}"
        times = f"{check.load_s:.2f} s", f"{check.golden_s:.2f} s"
        verdict = "[green]passed[/]" if check.passed else "[bold red]FAILED[/]"
        about = str(check.golden_frames), far, f"{check.allowed:.2g}"
        table.add_row(escape(check.backend), *about, *times, verdict)
    console.print(table)


def print_judged(console: Console, done: Verification, judged: Judged) -> None:
    """Print metrics, kinds of defects, the names of errors, and where the artifacts disagree."""
    from edge.verify.findings import wrong
    from edge.verify.rows import figure_rows, kind_rows

    bad = sum(one.photograph.is_bad for one in judged.seen)
    thresholds = {name: done.thresholds[name] for name in judged.findings}
    title = f"{judged.chosen.name}: {len(judged.seen) - bad} good, {bad} bad"
    table = Table("", *map(escape, thresholds), title=escape(title))
    table.add_row("threshold", *(f"{value:.5g}" for value in thresholds.values()))
    for name, cells in figure_rows(judged.findings):
        table.add_row(name, *map(escape, cells))
    if kinds := kind_rows(judged.findings):
        table.add_section()
        table.add_row("rejected, by kind")
        for kind, cells in kinds:
            table.add_row(escape(f"  {kind}"), *map(escape, cells))
    console.print(table)
    for line in judged.survey.lines():
        console.print(escape(line), highlight=False, soft_wrap=True)
    if judged.out_of_distribution is not None:
        begin = "[bold red]warning:[/bold red] " if judged.out_of_distribution.is_doubtful else ""
        console.print(f"{begin}{escape(str(judged.out_of_distribution))}", highlight=False, soft_wrap=True)
    for note in judged.notes:
        console.print(escape(f"note: {note}"))
    misses, false_rejects = wrong(judged.seen, judged.findings)
    _list(console, thresholds, "misses", [(one.photograph.name, one.scores) for one in misses])
    _list(console, thresholds, "false rejects", [(one.photograph.name, one.scores) for one in false_rejects])
    flipped = [(flip.name, flip.scores) for flip in judged.flips]
    if len(thresholds) > 1:
        _list(console, thresholds, "photographs that the artifacts judge differently", flipped)


def _list(
    console: Console, thresholds: dict[str, float], what: str, rows: Sequence[tuple[str, dict[str, float]]]
) -> None:
    if not rows:
        console.print(f"{what}: none")
        return
    more = f", the first {MOST}; --json and --html name all" if len(rows) > MOST else ""
    table = Table("photograph", title=f"{what}: {len(rows)}{more}", title_justify="left")
    for name in thresholds:
        table.add_column(escape(name), justify="right")
    for name, scores in rows[:MOST]:
        table.add_row(escape(name), *(judged_score(scores[name], value) for name, value in thresholds.items()))
    console.print(table)
