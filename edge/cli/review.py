"""edge-review: what people say of recorded parts, the figures that follow, and photographs for training."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import new_app, run_app
from edge.text import counted, printable

if TYPE_CHECKING:
    from edge.review import Decision, Undecided

Records = Annotated[Path, typer.Argument(help="Folder of a station's records, of one that runs or ran.")]
By = Annotated[str, typer.Option(metavar="NAME", help="Name of the person who decides; it is kept.")]
Comment = Annotated[str, typer.Option(help="A sentence of at most 500 characters.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]

app = new_app()


@app.callback()
def review() -> None:
    """Say of recorded parts whether they are really bad; learn from it how good the verdicts are, and train with it."""


@app.command("list")
def list_(
    records: Records,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="What is listed: reject, unknown or good.")] = "reject",
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many parts.")] = 20,
    newest: Annotated[
        bool, typer.Option("--newest", help="The newest first, not in the random order from which estimates follow.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List parts with a kept picture that nobody has decided, in the order in which they are best reviewed."""
    from dataclasses import asdict

    from edge.review import Kind, ReviewError, Reviews

    if kind not in set(Kind):
        raise ReviewError(f"{kind}: no kind of part is called so; give {', '.join(Kind)}")
    reviews = Reviews(records)
    waiting = reviews.undecided(Kind(kind), count, "newest" if newest else "drawn")
    progress = reviews.progress()
    if as_json:
        counts = {name: found._asdict() for name, found in progress.items()}
        print(json.dumps({"undecided": [asdict(one) for one in waiting], "progress": counts}))
        return
    for one in waiting:
        print(printable(_line(one, records)))
    for name, (decided, undecided) in progress.items():
        print(f"{name}: {decided} decided, {undecided} with a picture undecided", file=sys.stderr)


def _line(one: "Undecided", records: Path) -> str:
    grounds = f"{one.reason:10}" if one.score is None else f"{one.score:<10.4g}"
    return f"{one.part:20}  {grounds}  {one.time[:19]}  {records / one.image}"


@app.command()
def decide(
    records: Records,
    part: Annotated[str, typer.Argument(metavar="PART", help="Id of the part.")],
    choice: Annotated[str, typer.Argument(metavar="DECISION", help="What the part is: bad, good or unsure.")],
    by: By,
    comment: Comment = "",
    run: Annotated[
        str | None, typer.Option(metavar="EPOCH", help="Run of the verdict.", show_default="the newest on this part")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decide what a part is, whatever its verdict was. A later decision of the same person replaces this one."""
    from edge.review import Choice, Kind, ReviewError, Reviews, Way
    from edge.review.record import Record

    if choice not in set(Choice):
        raise ReviewError(f"{choice}: no decision is called so; give {', '.join(Choice)}")
    with Record(records) as record:
        found = [one for one in record.verdicts_on(part) if run in (None, one.epoch)]
    if not found:
        of_run = f" in run {run}" if run is not None else ""
        raise ReviewError(f"{records} knows no part {part!r}{of_run}; edge-review list shows the parts that wait")
    verdict, reviews = found[-1], Reviews(records)
    first = reviews.next(Kind(verdict.verdict.value))
    way = Way.DRAWN if first is not None and first.key == (verdict.epoch, verdict.seq) else Way.CHOSEN
    made = reviews.decide(verdict.epoch, verdict.seq, Choice(choice), by, comment, way)
    _say(made, as_json)


@app.command()
def missed(
    records: Records,
    part: Annotated[str, typer.Argument(metavar="PART", help="Id of a part that passed as good and is bad.")],
    by: By,
    comment: Comment = "",
    as_json: AsJson = False,
) -> None:
    """Name a part that passed and is bad, as the gate's people found it. The same as edge-audit --missed."""
    from edge.review import Reviews

    _say(Reviews(records).miss(part, by, comment), as_json)


@app.command()
def undo(
    records: Records,
    decision: Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the decision, as decide printed it.")],
    by: By,
    comment: Comment = "",
    as_json: AsJson = False,
) -> None:
    """Take back a decision. What the same person had decided before it stands again."""
    from edge.review import Reviews

    _say(Reviews(records).undo(decision, by, comment), as_json)


@app.command()
def log(
    records: Records,
    part: Annotated[str | None, typer.Option(metavar="ID", help="Only this part.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print all decisions, oldest first, with those that were taken back."""
    from dataclasses import asdict

    from edge.review import Reviews

    reviews = Reviews(records)
    rows = reviews.log() if part is None else reviews.of_part(part)
    if as_json:
        print(json.dumps([asdict(row) | {"judged": row.judged._asdict()} for row in rows]))
        return
    for row in rows:
        print(printable(f"{row.time}  {_said(row)}"))


def _say(made: "Decision", as_json: bool) -> None:
    from dataclasses import asdict

    print(json.dumps(asdict(made) | {"judged": made.judged._asdict()}) if as_json else printable(_said(made)))


def _said(row: "Decision") -> str:
    what = f"takes back {row.takes_back}" if row.choice is None else f"is {row.choice}"
    comment = f": {row.comment}" if row.comment else ""
    verdict = f"{row.judged.outcome} {row.seq} of {row.station}, run {row.epoch}"
    return f"decision {row.id}: part {row.part} {what}, {row.way}, by {row.by} ({verdict}){comment}"


@app.command()
def stats(
    records: Annotated[list[Path], typer.Argument(help="Folders of stations' records.")], as_json: AsJson = False
) -> None:
    """Print the precision of the rejects and the share of missed parts, with 95 % intervals, for each bundle."""
    from edge.cli.review_stats import figures, show
    from edge.terminal.console import Console

    with Console(stderr=True).status("reading the records"):
        found = figures(records)
    if as_json:
        print(json.dumps(found))
    else:
        show(found)


@app.command()
def export(
    records: Annotated[list[Path], typer.Argument(help="Folders of stations' records.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write. It must be missing or empty.")],
    like: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="An earlier run, or its split.csv: what it had in its test part stays there."),
    ] = None,
    with_: Annotated[
        Path | None,
        typer.Option("--with", metavar="DATA", help="Photographs of that run, which are copied too, with their masks."),
    ] = None,
    goods_only: Annotated[
        bool, typer.Option("--goods-only", help="Leave out bad parts, as for networks that need a mask for each.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the pictures of reviewed parts into a folder that edge-train reads: DIR/{train,val,test}/{good,bad}/.

    Parts of one minute at one station, and those with one id, are never in two splits. Parts of which nobody is sure
    and parts with contradicting decisions are left out.
    """
    from edge.review import photographs
    from edge.terminal.progress import Progress

    earlier = None if like is None else photographs.read_earlier(like)
    with Progress() as progress:
        progress.begin("reading the records")
        items, left_out = photographs.read_items(records)
        decided = photographs.read_decided(records)
        made = photographs.plan(items, left_out, earlier, decided=decided)
        if goods_only:
            made = photographs.without_bad(made)
        added = [] if with_ is None else photographs.read_added(with_, earlier, decided)
        photographs.write(made, out, added, progress.begin("copying photographs", len(added)))
    if as_json:
        gone = [{"part": one.part, "why": one.why} for one in made.left_out]
        print(json.dumps({"folder": str(out), "reviewed": made.counts(), "added": len(added), "left_out": gone}))
        return
    for split, counts in made.counts().items():
        print(f"{out / split}: {counts.get('good', 0)} good, {counts.get('bad', 0)} bad reviewed", file=sys.stderr)
    if added:
        print(f"{counted(len(added), 'photograph')} of {with_} beside them", file=sys.stderr)
    for one in made.left_out:
        print(printable(f"left out: {one.part}: {one.why}"), file=sys.stderr)


def main() -> None:
    """Entry point."""
    run_app(app, extra="verify")


if __name__ == "__main__":
    main()
