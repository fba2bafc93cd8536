"""Writes the verdicts of a record into a file, for edge-audit."""

import sys
from pathlib import Path
from typing import NoReturn

from edge.errors import RecordsError
from edge.text import counted


def export(
    records: Path,
    file: Path,
    since: str | None,
    until: str | None,
    outcome: str | None,
    kind: str | None,
    fields: list[str],
) -> NoReturn:
    """Write the selected verdicts into `file` and exit, with 1 if the journal has damaged blocks among them.

    Raises RecordsError, in one line; the file stays then.
    """
    from edge.records.export import FORMATS, export_table, moment
    from edge.records.selection import Selection
    from edge.terminal.console import Console
    from edge.verdict import Outcome

    if file.suffix.lower() not in FORMATS:
        raise RecordsError(f"--export {file}: no such format; give a name that ends in {' or '.join(FORMATS)}")
    if file.resolve().is_relative_to(records.resolve()):
        raise RecordsError(f"--export {file} lies in the records, to which nothing is added; give a place elsewhere")
    if outcome is not None and outcome not in set(Outcome):
        raise RecordsError(f"--outcome {outcome}: no verdict is called so; give good, reject or unknown")
    selection = Selection(
        None if since is None else moment(since, "--since"),
        None if until is None else moment(until, "--until"),
        None if outcome is None else Outcome(outcome),
        fields=dict(_field(text) for text in fields),
        kind=kind,
    )
    with Console(stderr=True).status("reading the records"):
        left_out = list[str]()
        count = export_table(records, selection, file, left_out.append)
    print(f"{counted(count, 'verdict')} in {file}", file=sys.stderr)
    for gap in left_out:
        print(f"{gap}: the table may lack verdicts", file=sys.stderr)
    sys.exit(1 if left_out else 0)


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise RecordsError(f"--field {text}: give NAME=VALUE, as in lot=L4711")
    return name, value
