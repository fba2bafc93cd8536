"""edge-audit: does a station's record hold, and what happened to a part."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edge.cli import run_app
from edge.errors import RecordsError

if TYPE_CHECKING:
    from edge.records.audit import Audit

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def audit(
    records: Annotated[Path, typer.Argument(help="Folder of the records, of a station that runs or ran.")],
    part: Annotated[str | None, typer.Option(metavar="ID", help="Print what happened to this part.")] = None,
    gate: Annotated[
        Path | None, typer.Option(metavar="LOG", help="The gate's own log: each pass must be a good of the journal.")
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

    from rich.console import Console

    from edge.records.audit import audit as check

    console = Console(stderr=True)
    with console.status("reading the records"):
        found = check(records, gate, images)
    if as_json:
        print(json.dumps(_summary(found), ensure_ascii=False))
    else:
        _print(found)
    sys.exit(0 if found.is_sound else 1)


def _tell(records: Path, part: str, as_json: bool) -> NoReturn:
    from edge.records.story import stories, tell

    told = stories(records, part)
    if as_json:
        print(json.dumps([story.as_json() for story in told], ensure_ascii=False))
    else:
        print("\n\n".join("\n".join(tell(story)) for story in told))
    sys.exit(1 if any(story.is_escape for story in told) else 0)


def _hold(records: Path, part: str, held: bool) -> NoReturn:
    from edge.records.story import hold

    for image in hold(records, part, held):
        print(f"{image}: {'held' if held else 'released'}")
    sys.exit(0)


def _summary(found: "Audit") -> dict[str, object]:
    return {
        "sound": found.is_sound,
        "live": found.is_live,
        "runs": [asdict(run) for run in found.runs],
        "images": found.images,
        "images_gone": found.images_gone,
        "gate": found.gate and {"passes": dict(found.gate.passes), "rejects": dict(found.gate.rejects)},
        "counts": dict(found.counts),
        "problems": [problem._asdict() for problem in found.problems],
    }


def _print(found: "Audit") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from edge.records.audit import Kind

    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table("boot", "epoch", "started", "accepted", "good", "reject", "unknown", "lost", "passed", "ended")
    for run in found.runs:
        ended = "runs" if run.is_live else run.cause or "?"
        counts = (run.accepted, run.good, run.reject, run.unknown, run.lost, run.passed)
        table.add_row(str(run.boot), run.epoch, run.started[:19], *map(str, counts), escape(ended))
    console.print(table)
    print(f"{found.images} images, {found.images_gone} more were removed to make room")
    if found.gate is not None:
        for name, counted in (("passes", found.gate.passes), ("rejects", found.gate.rejects)):
            by = ", ".join(f"{count} {why}" for why, count in sorted(counted.items())) or "none"
            print(f"gate: {counted.total()} {name}: {by}")
    for kind, text, epoch, _ in found.problems:
        style = "bold white on red" if kind is Kind.ESCAPE else "red"
        where = f"{epoch}: " if epoch else ""
        console.print(f"[{style}]{kind.upper()}[/] {escape(where + text)}", soft_wrap=True, highlight=False)
    for each, count in found.counts.items():
        if (named := sum(problem.kind == each for problem in found.problems)) < count:
            print(f"and {count - named} more: {each}")
    print("the record is sound" if found.is_sound else f"{found.counts.total()} problems", file=sys.stderr)


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
