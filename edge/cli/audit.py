"""edge-audit: checks a station's records, and prints the history of a part."""

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edge.cli import new_app, run_app
from edge.errors import RecordsError
from edge.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.records.audit_result import Audit
    from edge.records.gate_log import GateReport
    from edge.records.part_history import Story

app = new_app()

FLIP = "flip"
"""With --last: a part that a candidate judged otherwise."""


@app.command()
def audit(
    records: Annotated[
        Path, typer.Argument(help="Folder of the records, of a station that runs or ran, or a copy of it.")
    ],
    count: Annotated[
        int | None,
        typer.Argument(metavar="[N]", help="With --last: how many parts, 1 unless given.", min=1, max=10_000),
    ] = None,
    part: Annotated[str | None, typer.Option(metavar="ID", help="Print what happened to this part.")] = None,
    last: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Print it of the newest part that is good, reject or unknown, or a flip: judged otherwise by a "
            "candidate; see N.",
        ),
    ] = None,
    gate: Annotated[
        Path | None,
        typer.Option(
            metavar="LOG",
            help="The gate's own whole log: each pass must be a good of the journal. With --part or --last: what the "
            "gate decided of the part, and why.",
        ),
    ] = None,
    plc: Annotated[
        Path | None,
        typer.Option(
            metavar="LOG",
            help="The whole log of edge-plc: each pass bit that was ever 1 must be a good of the journal.",
        ),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="With --part or --last: write the part's picture, the boxes of its defects drawn in; or a folder.",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Write the verdicts into this file, .csv or .parquet, a row each, with their free fields.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="With --export: those published from this time on; ISO 8601, UTC."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="With --export: those published before this time.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(metavar="KIND", help="With --export: only those that are good, reject or unknown.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --export: only rejects with this kind of defect.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="With --export: only parts with this free field, as lot=L4711. Repeatable: all."
        ),
    ] = None,
    hold: Annotated[str | None, typer.Option(metavar="ID", help="Never remove the images of this part.")] = None,
    release: Annotated[str | None, typer.Option(metavar="ID", help="The images of this part may go again.")] = None,
    missed: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Note that this part passed and is bad, as people at the gate found; see --by."
        ),
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="With --missed: the name of who found it.")] = None,
    images: Annotated[bool, typer.Option(help="Compare each image with its hash; reads them all.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Check a station's records. Exit code 1 if anything is wrong or missing; ESCAPE: a part passed that should not."""
    told = {"part": part, "last": last, "export": export, "hold": hold, "release": release, "missed": missed}
    _check_together({name for name, value in told.items() if value is not None}, gate, plc, draw)
    if count is not None and last is None:
        raise RecordsError(f"{count} says how many parts of --last are told; give --last reject {count}")
    if export is None and any(option is not None for option in (since, until, outcome, kind, field)):
        raise RecordsError(
            "--since, --until, --outcome, --kind and --field select what is exported; give --export FILE.csv"
        )
    if export is not None:
        from edge.cli.audit_export import export as export_verdicts

        export_verdicts(records, export, since, until, outcome, kind, field or [])
    if part is not None or last is not None:
        _tell(records, _stories(records, part, last, count or 1, gate), draw, as_json)
    if missed is not None or by is not None:
        _miss(records, missed, by)
    if hold is not None or release is not None:
        _hold(records, str(hold or release), hold is not None)

    from edge.records.audit import audit as check
    from edge.terminal.console import Console

    console = Console(stderr=True)
    with console.status("reading the records"):
        found = check(records, gate, images, plc)
    if as_json:
        print(json.dumps(_summary(found)))
    else:
        _print(found)
    sys.exit(0 if found.is_sound else 1)


def _check_together(told: set[str], gate: Path | None, plc: Path | None, draw: Path | None) -> None:
    """Raise RecordsError if the options that are given, `told` those that name what is done, exclude each other."""
    if len(told) > 1:
        *first, last = (f"--{name}" for name in ("part", "last", "export", "hold", "release", "missed"))
        raise RecordsError(f"{', '.join(first)} and {last} do different things; give one of them")
    if gate is not None and (other := told & {"hold", "release", "export", "missed"}):
        raise RecordsError(f"--{other.pop()} reads no log; leave out --gate")
    if plc is not None and told:
        raise RecordsError(f"--plc checks the whole log; leave out --{told.pop()}")
    if draw is not None and not told & {"part", "last"}:
        raise RecordsError("--draw draws the picture of a part; give --part ID or --last reject")


def _stories(records: Path, part: str | None, last: str | None, count: int, gate: Path | None) -> "list[Story]":
    from edge.records.part_history import last_stories, stories
    from edge.terminal.console import Console
    from edge.verdict import Outcome

    if last is not None and last not in {*Outcome, FLIP}:
        raise RecordsError(f"--last {last}: no verdict is called so; give good, reject, unknown or flip")
    with Console(stderr=True).status("reading the records"):
        if last is not None:
            return last_stories(records, None if last == FLIP else Outcome(last), count, gate)
        assert part is not None
        return stories(records, part, gate)


def _tell(records: Path, told: "list[Story]", draw: Path | None, as_json: bool) -> NoReturn:
    from edge.cli.audit_drawing import draw_parts
    from edge.records.part_story import tell

    drawings = {} if draw is None else draw_parts(records, told, draw)
    if as_json:
        rows = [story.as_json() | {"drawing": _path(drawings, number)} for number, story in enumerate(told)]
        print(json.dumps(rows))
    else:
        lines = [[*tell(story, records), *_said(drawings, number)] for number, story in enumerate(told)]
        print("\n\n".join("\n".join(map(printable, some)) for some in lines))
    is_missing = draw is not None and len(drawings) < len(told)
    if is_missing:
        print(f"{counted(len(told) - len(drawings), 'part')} not drawn: no picture is kept", file=sys.stderr)
    sys.exit(1 if is_missing or any(story.is_escape for story in told) else 0)


def _path(drawings: dict[int, Path], number: int) -> str | None:
    return str(drawings[number]) if number in drawings else None


def _said(drawings: dict[int, Path], number: int) -> list[str]:
    return [f"  drawn in {drawings[number]}"] if number in drawings else []


def _hold(records: Path, part: str, held: bool) -> NoReturn:
    from edge.records.part_history import hold

    for image in hold(records, part, held):
        print(printable(f"{image}: {'held' if held else 'released'}"))
    sys.exit(0)


def _miss(records: Path, part: str | None, by: str | None) -> NoReturn:
    from edge.review import Reviews

    if part is None or by is None:
        raise RecordsError("--missed ID and --by NAME go together: which part is bad, and who found it")
    made = Reviews(records).miss(part, by)
    print(printable(f"decision {made.id}: part {made.part} is bad and had passed, by {made.by}"))
    sys.exit(0)


def _summary(found: "Audit") -> dict[str, object]:
    return {
        "sound": found.is_sound,
        "live": found.is_live,
        "copy": found.is_copy,
        "copied": dict(found.copied),
        "expired_until": found.expired_until,
        "runs": [asdict(run) for run in found.runs],
        "images": found.images,
        "images_gone": found.images_gone,
        "without_image": dict(found.without_image),
        "gate": found.gate and _counted(found.gate),
        "plc": found.plc and vars(found.plc) | {"passes": dict(found.plc.passes), "fails": dict(found.plc.fails)},
        "counts": dict(found.counts),
        "challenges": found.challenges,
        "problems": [problem._asdict() for problem in found.problems],
    }


def _counted(gate: "GateReport") -> dict[str, object]:
    """A gate's report; `asdict` would count the counters."""
    return vars(gate) | {"passes": dict(gate.passes), "rejects": dict(gate.rejects)}


def _print(found: "Audit") -> None:
    from rich.markup import escape
    from rich.table import Table

    from edge.records.audit_result import Kind
    from edge.terminal.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table("boot", "epoch", "started", "accepted", "good", "reject", "unknown", "lost", "passed", "ended")
    for run in found.runs:
        ended = "runs" if run.is_live else "not in this copy" if run.is_cut else run.cause or "?"
        counts = (run.accepted, run.good, run.reject, run.unknown, run.lost, run.passed)
        cells = (str(run.boot), run.epoch, run.started[:19], *map(str, counts), ended)
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console.print(table)
    print(
        "\n".join(
            [
                *_of_kinds(found),
                *_of_the_expired(found),
                *_of_the_copy(found),
                *_of_images(found),
                *_of_challenges(found),
                *_of_the_gate(found),
                *_of_the_plc(found),
            ]
        )
    )
    for kind, text, epoch, _ in found.problems:
        style = "bold white on red" if kind is Kind.ESCAPE else "red"
        where = f"{epoch}: " if epoch else ""
        console.print(f"[{style}]{kind.upper()}[/] {escape(printable(where + text))}", soft_wrap=True, highlight=False)
    for each, count in found.counts.items():
        if (named := sum(problem.kind == each for problem in found.problems)) < count:
            print(f"and {count - named} more: {each}")
    print("the record is sound" if found.is_sound else counted(found.counts.total(), "problem"), file=sys.stderr)


def _of_kinds(found: "Audit") -> "Iterator[str]":
    kinds = sum((Counter(run.kinds) for run in found.runs), Counter[str]())
    if kinds:
        yield "rejects by kind: " + ", ".join(f"{printable(kind)} {number}" for kind, number in kinds.most_common())


def _of_the_expired(found: "Audit") -> "Iterator[str]":
    if found.expired_until is not None:
        verdicts = counted(sum(run.expired for run in found.runs), "verdict")
        yield (
            f"retention: {verdicts} published until {printable(found.expired_until)} are no longer kept; counts by "
            "hour are, and the table includes them"
        )


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


def _of_challenges(found: "Audit") -> "Iterator[str]":
    said = {"part": "last bad part stopped", "stored": "last stored bad picture rejected", "failed": "last FAILED"}
    yield from (f"{text}: {printable(found.challenges[key])}" for key, text in said.items() if key in found.challenges)


def _of_the_gate(found: "Audit") -> "Iterator[str]":
    gate = found.gate
    if gate is None:
        return
    for total, by in (
        (counted(gate.passes.total(), "pass", "passes"), gate.passes),
        (counted(gate.rejects.total(), "reject"), gate.rejects),
    ):
        yield f"gate: {total}: " + (", ".join(f"{n} {printable(why)}" for why, n in sorted(by.items())) or "none")
    if gate.is_of_other_runs:
        yield "gate: the journal has none of the runs that this log names; is it the log of another station or record?"
    if gate.is_cut:
        yield "gate: a line has no end: it is being written, or was cut"
    if gate.clients != 1:
        controllers = counted(gate.clients, "controller") if gate.clients else "no controller"
        yield f"gate: {controllers} acknowledged parts: the log was held against the verdicts alone"


def _of_the_plc(found: "Audit") -> "Iterator[str]":
    plc = found.plc
    if plc is None:
        return
    for total, by in (
        (counted(plc.passes.total(), "pass bit"), plc.passes),
        (counted(plc.fails.total(), "fail"), plc.fails),
    ):
        yield f"plc: {total}: " + (", ".join(f"{n} {printable(why)}" for why, n in sorted(by.items())) or "none")
    if plc.overruns:
        yield f"plc: {counted(plc.overruns, 'result')} dropped by an overrun"
    if plc.others:
        yield f"plc: {counted(plc.others, 'line')} of other stations"
    if plc.is_cut:
        yield "plc: a line has no end: it is being written, or was cut"


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
