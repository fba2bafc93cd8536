"""edge-audit: does a station's record hold, and what happened to a part."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edge.cli import new_app, run_app
from edge.errors import RecordsError
from edge.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.records.audit import Audit
    from edge.records.gate_log import GateReport

app = new_app()


@app.command()
def audit(
    records: Annotated[
        Path, typer.Argument(help="Folder of the records, of a station that runs or ran, or a copy of it.")
    ],
    part: Annotated[str | None, typer.Option(metavar="ID", help="Print what happened to this part.")] = None,
    gate: Annotated[
        Path | None,
        typer.Option(metavar="LOG", help="The gate's own whole log: each pass must be a good of the journal."),
    ] = None,
    hold: Annotated[str | None, typer.Option(metavar="ID", help="Never remove the images of this part.")] = None,
    release: Annotated[str | None, typer.Option(metavar="ID", help="The images of this part may go again.")] = None,
    images: Annotated[bool, typer.Option(help="Compare each image with its hash; reads them all.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Check a station's records. Exit code 1 if anything is wrong or missing; ESCAPE: a part passed that should not."""
    if sum(option is not None for option in (part, gate, hold, release)) > 1:
        raise RecordsError("--part, --gate, --hold and --release do different things; give one of them")
    if part is not None:
        _tell(records, part, as_json)
    if hold is not None or release is not None:
        _hold(records, str(hold or release), hold is not None)

    from edge.records.audit import audit as check
    from edge.terminal.console import Console

    console = Console(stderr=True)
    with console.status("reading the records"):
        found = check(records, gate, images)
    if as_json:
        print(json.dumps(_summary(found)))
    else:
        _print(found)
    sys.exit(0 if found.is_sound else 1)


def _tell(records: Path, part: str, as_json: bool) -> NoReturn:
    from edge.records.part_history import stories, tell

    told = stories(records, part)
    if as_json:
        print(json.dumps([story.as_json() for story in told]))
    else:
        print("\n\n".join("\n".join(map(printable, tell(story))) for story in told))
    sys.exit(1 if any(story.is_escape for story in told) else 0)


def _hold(records: Path, part: str, held: bool) -> NoReturn:
    from edge.records.part_history import hold

    for image in hold(records, part, held):
        print(printable(f"{image}: {'held' if held else 'released'}"))
    sys.exit(0)


def _summary(found: "Audit") -> dict[str, object]:
    return {
        "sound": found.is_sound,
        "live": found.is_live,
        "copy": found.is_copy,
        "copied": dict(found.copied),
        "runs": [asdict(run) for run in found.runs],
        "images": found.images,
        "images_gone": found.images_gone,
        "without_image": dict(found.without_image),
        "gate": found.gate and _counted(found.gate),
        "counts": dict(found.counts),
        "problems": [problem._asdict() for problem in found.problems],
    }


def _counted(gate: "GateReport") -> dict[str, object]:
    """A gate's report; `asdict` would count the counters."""
    return vars(gate) | {"passes": dict(gate.passes), "rejects": dict(gate.rejects)}


def _print(found: "Audit") -> None:
    from rich.markup import escape
    from rich.table import Table

    from edge.records.audit import Kind
    from edge.terminal.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table("boot", "epoch", "started", "accepted", "good", "reject", "unknown", "lost", "passed", "ended")
    for run in found.runs:
        ended = "runs" if run.is_live else "not in this copy" if run.is_cut else run.cause or "?"
        counts = (run.accepted, run.good, run.reject, run.unknown, run.lost, run.passed)
        cells = (str(run.boot), run.epoch, run.started[:19], *map(str, counts), ended)
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console.print(table)
    print("\n".join([*_of_the_copy(found), *_of_images(found), *_of_the_gate(found)]))
    for kind, text, epoch, _ in found.problems:
        style = "bold white on red" if kind is Kind.ESCAPE else "red"
        where = f"{epoch}: " if epoch else ""
        console.print(f"[{style}]{kind.upper()}[/] {escape(printable(where + text))}", soft_wrap=True, highlight=False)
    for each, count in found.counts.items():
        if (named := sum(problem.kind == each for problem in found.problems)) < count:
            print(f"and {count - named} more: {each}")
    print("the record is sound" if found.is_sound else counted(found.counts.total(), "problem"), file=sys.stderr)


def _of_the_copy(found: "Audit") -> "Iterator[str]":
    run = found.cut_run
    if run is None:
        return
    yield (
        f"a copy: when it was made, run {printable(run.epoch)} had not ended, and verdict {run.last_here} was the last "
        "on disk; how the run went on and ended is in the record that was copied"
    )
    if found.problems:
        yield "a copy: a journal that is written while it is copied may be torn in the copy; copy it again to be sure"
    for why, count in found.copied.items():
        yield f"a copy: {counted(count, 'image')} {why}"


def _of_images(found: "Audit") -> "Iterator[str]":
    if found.images is None:
        yield "images: not looked at"
        return
    yield f"{counted(found.images, 'image')}, {found.images_gone} more removed to make room"
    if found.without_image:
        which = " and ".join(counted(count, kind) for kind, count in found.without_image.items())
        yield f"no image: {which} with a frame"


def _of_the_gate(found: "Audit") -> "Iterator[str]":
    gate = found.gate
    if gate is None:
        return
    for total, by in (
        (counted(gate.passes.total(), "pass", "passes"), gate.passes),
        (counted(gate.rejects.total(), "reject"), gate.rejects),
    ):
        yield f"gate: {total}: " + (", ".join(f"{n} {printable(why)}" for why, n in sorted(by.items())) or "none")
    if gate.is_cut:
        yield "gate: a line has no end: it is being written, or was cut"
    if gate.clients != 1:
        controllers = counted(gate.clients, "controller") if gate.clients else "no controller"
        yield f"gate: {controllers} acknowledged parts: the log was held against the verdicts alone"


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
