"""Records of a line whose older verdicts lie in blocks, and the steps that the upkeep thread of a station takes."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.records import payload, recorder, settle, verdict

from edge.channel.control_messages import Fate
from edge.records import sealing
from edge.records.expiry import JournalKeeping, next_expiry
from edge.records.journal import open_to_read, open_to_write
from edge.records.journal_writer import Upkeep
from edge.records.recorder import Recorder
from edge.records.sealing import Statement, next_sealing
from edge.records.stored_verdicts import one_state
from edge.verdict import Outcome, Verdict

G, R, U = Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN
BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FATES = {G: Fate.PASSED, R: Fate.REJECTED, U: Fate.LATE_REJECT}


def line_of(
    folder: Path,
    outcomes: Iterable[Outcome],
    epoch: str = "ab12",
    pause: timedelta = timedelta(seconds=30),
    begun: datetime = BEGUN,
) -> list[Verdict]:
    """A run with these outcomes, each acknowledged; some parts have free fields, late results and fields, and results
    of a candidate: every sixth is a flip, if it is no unknown.
    """
    journal = recorder(folder, epoch)
    made = []
    for seq, outcome in enumerate(outcomes, 1):
        one = verdict(seq, outcome, epoch)
        changes = {"time": (begun + seq * pause).isoformat(timespec="milliseconds")}
        changes |= {"fields": {"lot": f"L{seq // 10}"}} if seq % 3 else {}
        one = Verdict.model_validate(one.model_dump() | changes)
        journal.accept(seq)
        journal.enter(one, payload(one))
        journal.acknowledge(epoch, seq, FATES[outcome], "gate1")
        if outcome is U:
            journal.late_result(epoch, seq, 0.25, None)
        if seq % 7 == 0:
            journal.late_field(epoch, seq, "serial", f"SN-{seq}")
        if seq % 3 == 0:
            says = outcome if seq % 2 else R if outcome is G else G
            journal.shadow_result(epoch, seq, "next@12ab", says, 0.5, None)
        made.append(one)
    settle(journal)
    journal.close("told to stop", len(made), patience_s=30)
    return made


def small_blocks(patch: pytest.MonkeyPatch, verdicts: int = 4) -> None:
    """Let blocks have at most so many verdicts."""
    patch.setattr(sealing, "MOST_VERDICTS", verdicts)


def carry_out(folder: Path, statements: tuple[Statement, ...]) -> None:
    """Do what the writer's thread of a station does with upkeep."""
    journal, _ = open_to_write(folder)
    with closing(journal):
        upkeep = Upkeep(statements)
        upkeep.carry_out(journal)
        assert upkeep.trouble is None, upkeep.trouble


def seal(folder: Path, newest: int = 1) -> int:
    """Seal all but the newest rows that fill a block. Returns the number of blocks."""
    blocks, after = 0, 0
    while True:
        with closing(open_to_read(folder)) as journal, one_state(journal):
            found = next_sealing(journal, after, newest)
        if found is None:
            return blocks
        after = found.to
        if found.statements:
            carry_out(folder, found.statements)
            blocks += 1


def expire(folder: Path, blocks: int = 1) -> int:
    """Let so many of the oldest blocks expire. Returns how many did."""
    for done in range(blocks):
        with closing(open_to_read(folder)) as journal, one_state(journal):
            found = next_expiry(journal, folder, JournalKeeping(max_bytes=0))
        if not found.statements:
            return done
        carry_out(folder, found.statements)
    return blocks


def sealed_rows(folder: Path) -> tuple[int, int, int]:
    """How many verdicts lie in blocks, how many are rows, and the number of blocks."""
    with closing(sqlite3.connect(folder / "journal.db")) as journal:
        blocks, verdicts = journal.execute("SELECT count(*), coalesce(sum(verdicts), 0) FROM verdict_blocks").fetchone()
        (rows,) = journal.execute("SELECT count(*) FROM verdicts").fetchone()
    return verdicts, rows, blocks


def take_up(folder: Path) -> Recorder:
    """A station that starts on these records."""
    journal = recorder(folder, "ef56")
    settle(journal)
    return journal
