"""Does the record hold? Every run's ledger and sequence, every acknowledgement, every image, and a gate's own log."""

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from edge.channel.control_messages import Fate
from edge.files import is_hollow, open_regular
from edge.letterbox.geometry import LARGEST_FRAME
from edge.records.durable_files import NEW
from edge.records.gate_log import GateReport, Logged, compare, join, read_decisions
from edge.records.journal import JOURNAL, check_rows, open_to_read, why_unread
from edge.records.pass_proof import Standing, broken_rule, prove
from edge.records.record_copy import CopiedImages
from edge.records.recorder import is_copy, is_taken
from edge.records.retention import HOLD, IMAGES, SIDECAR, files_of_images, misplaced
from edge.records.sidecar import read_sidecar
from edge.text import counted
from edge.verdict import Outcome, Verdict

MOST_NAMED = 100
"""Problems of a kind that are named one by one; the rest are counted."""

LONGEST_TEXT = 1000
"""Characters of a problem; a journal may say more in one value than anybody reads."""

MOST_IMAGE_BYTES = 4 * LARGEST_FRAME * LARGEST_FRAME
"""PNG cannot compress noise: three bytes a pixel and a little."""

REMOVAL_S = 0.5
"""Of a live station image and journal may disagree while one is stored or removed; no longer than this."""


class Kind(StrEnum):
    """Kinds of problems, the worst first."""

    ESCAPE = "escape"
    UNPROVEN = "unproven"
    SEQUENCE = "sequence"
    LEDGER = "ledger"
    VERDICT = "verdict"
    RUN = "run"
    LOST = "lost"
    ACKNOWLEDGEMENT = "acknowledgement"
    GATE = "gate"
    IMAGE = "image"
    JOURNAL = "journal"


class Problem(NamedTuple):
    """Something that is not as it should be, in words."""

    kind: Kind
    text: str
    epoch: str | None = None
    seq: int | None = None


@dataclass
class Run:
    """The books of one epoch, as the journal has them. `lost` counts the verdicts known to be missing."""

    epoch: str
    boot: int
    station: str
    source: str
    bundle: str
    started: str
    ended: str | None
    cause: str | None
    last_seq: int | None
    accepted: int
    good: int = 0
    reject: int = 0
    unknown: int = 0
    lost: int = 0
    passed: int = 0
    is_live: bool = False
    is_cut: bool = False
    """It had not ended when this copy of the record was made."""
    last_here: int = 0


@dataclass
class Audit:
    """What was found. The record is sound if there is no problem."""

    folder: Path
    is_live: bool
    is_copy: bool = False
    runs: list[Run] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    images: int | None = None
    """Those that are kept; None if they were not looked at."""
    images_gone: int = 0
    without_image: Counter[str] = field(default_factory=Counter)
    """Rejects and unknowns that had a frame, of which no image was ever kept: a full disk stops images."""
    gate: GateReport | None = None
    copied: Counter[str] = field(default_factory=Counter)
    """Images that a copy has or lacks because the station ran on while it was made, by why."""

    @property
    def is_sound(self) -> bool:
        """True if there is no problem at all."""
        return not self.counts

    def find(self, kind: Kind, text: str, epoch: str | None = None, seq: int | None = None) -> None:
        """Note a problem."""
        self.counts[kind] += 1
        text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
        if self.counts[kind] <= MOST_NAMED:
            self.problems.append(Problem(kind, text, epoch, seq))

    @property
    def live_epoch(self) -> str | None:
        """The run that is still being written."""
        return next((run.epoch for run in self.runs if run.is_live), None)

    @property
    def cut_run(self) -> Run | None:
        """The run that had not ended when this copy was made."""
        return next((run for run in self.runs if run.is_cut), None)

    @property
    def open_epoch(self) -> str | None:
        """The run of which more may be known elsewhere than the journal says here."""
        return self.cut_run.epoch if self.cut_run else self.live_epoch


def audit(folder: Path, gate_log: Path | None = None, with_images: bool = True) -> Audit:
    """Check the records of a live or a dead station, or a copy of them; writes nothing.

    Raises RecordsError if there is no journal in `folder`, or `gate_log` is none.
    """
    found = Audit(folder, is_taken(folder))
    found.is_copy = not found.is_live and is_copy(folder)
    try:
        with contextlib.closing(open_to_read(folder, _bytes(gate_log))) as journal:
            for aside in sorted(folder.glob("journal-damaged-*.db")):
                found.find(Kind.JOURNAL, f"a damaged journal was moved aside: {aside.name}")
            journal.execute("BEGIN")  # one moment of a live journal
            _check_file(journal, found)
            if journal.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
                check_rows(journal)
                _check_runs(journal, found)
                _check_acknowledgements(journal, found)
                if gate_log is not None:
                    _check_gate(journal, found, gate_log)
                journal.execute("COMMIT")
                if with_images:
                    _check_images(journal, found)
                    _count_without_image(journal, found)
    except sqlite3.Error as error:
        found.find(Kind.JOURNAL, f"{JOURNAL} cannot be read to its end: {why_unread(error)}")
    found.problems.sort(key=lambda problem: list(Kind).index(problem.kind))
    return found


def _bytes(gate_log: Path | None) -> int:
    return gate_log.stat().st_size if gate_log is not None and gate_log.is_file() else 0


def _check_file(journal: sqlite3.Connection, found: Audit) -> None:
    for (said,) in journal.execute("PRAGMA quick_check(5)"):
        if said != "ok":
            found.find(Kind.JOURNAL, f"{JOURNAL} is damaged: {str(said).splitlines()[-1]}")


def _check_runs(journal: sqlite3.Connection, found: Audit) -> None:
    columns = "epoch, boot, station, source, bundle, started, ended, cause, last_seq, accepted"
    found.runs = [Run(*row) for row in journal.execute(f"SELECT {columns} FROM runs ORDER BY rowid")]
    if found.runs and found.runs[-1].ended is None:
        found.runs[-1].is_live, found.runs[-1].is_cut = found.is_live, found.is_copy
    for epoch, count in Counter(run.epoch for run in found.runs).items():
        if count > 1:
            found.find(Kind.RUN, f"{count} runs have the same epoch", epoch)
    for before, after in zip(found.runs, found.runs[1:], strict=False):
        if after.boot <= before.boot:
            found.find(Kind.RUN, f"boot {after.boot} came after boot {before.boot}", after.epoch)
    known = {run.epoch for run in found.runs}
    for (epoch,) in journal.execute("SELECT DISTINCT epoch FROM verdicts"):
        if epoch not in known:
            found.find(Kind.RUN, "verdicts of a run that the journal does not know", epoch)
    for (why,) in journal.execute("SELECT why FROM lost_ranges WHERE epoch IS NULL"):
        found.find(Kind.LOST, why)
    lost = defaultdict[str | None, list[_Lost]](list)
    for epoch, *one in journal.execute("SELECT epoch, lost_from, lost_to, why FROM lost_ranges"):
        lost[epoch].append(_Lost(*one))
    for run in found.runs:
        _check_run(journal, found, run, lost[run.epoch])


class _Lost(NamedTuple):
    first: int
    last: int | None  # None: unknown
    why: str


def _check_run(journal: sqlite3.Connection, found: Audit, run: Run, lost: list[_Lost]) -> None:
    for first, last, why in lost:
        which = f"from {first} on, how many is unknown" if last is None else f"{first} to {last}"
        found.find(Kind.LOST, f"verdicts {which}: {why}", run.epoch, first)
    last_seq = run.last_here = _check_verdicts(journal, found, run, lost)
    if run.ended is None and not run.is_live and not run.is_cut:
        found.find(Kind.RUN, "did not end in order, and no station has been started since", run.epoch)
    if run.last_seq is None:  # it runs, or did not end in order
        if not run.is_live and not run.is_cut:
            run.lost += max(0, run.accepted - last_seq)
            return
        pictured = "SELECT coalesce(max(seq), 0) FROM images WHERE epoch = ?"  # entered after its verdict
        if (told := journal.execute(pictured, (run.epoch,)).fetchone()[0]) > last_seq:
            _check_gap(found, run, lost, last_seq + 1, told)
        return
    if last_seq < run.last_seq:
        _check_gap(found, run, lost, last_seq + 1, run.last_seq)
    elif last_seq > run.last_seq:
        found.find(Kind.SEQUENCE, f"ended at {run.last_seq}, and has verdicts up to {last_seq}", run.epoch)
    answered = run.good + run.reject + run.unknown + run.lost
    if run.accepted != answered:
        found.find(Kind.LEDGER, f"{run.accepted} parts were accepted, {answered} were answered", run.epoch)


def _check_verdicts(journal: sqlite3.Connection, found: Audit, run: Run, lost: list[_Lost]) -> int:
    """Go through the verdicts of a run in order; the last one's number."""
    columns = "seq, part, verdict, reason, score, threshold, age_ms, time, backend, json"
    last_seq, counts = 0, Counter[str]()
    for seq, *row, text in journal.execute(
        f"SELECT {columns} FROM verdicts WHERE epoch = ? ORDER BY seq, rowid", (run.epoch,)
    ):
        if seq == last_seq:
            found.find(Kind.SEQUENCE, f"verdict {seq} was given twice", run.epoch, seq)
            continue
        if seq > last_seq + 1:
            _check_gap(found, run, lost, last_seq + 1, seq - 1)
        last_seq = seq
        counts[row[1]] += 1
        _check_verdict(found, run, seq, row, text)
    run.good, run.reject, run.unknown = (counts[o] for o in (Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN))
    return last_seq


def _check_gap(found: Audit, run: Run, lost: list[_Lost], first: int, last: int) -> None:
    """Verdicts `first` to `last` are not there: the journal must say so itself."""
    run.lost += last - first + 1
    for one in sorted(lost, key=lambda one: one.first):
        if one.first <= first:
            first = last + 1 if one.last is None else max(first, one.last + 1)
    if first <= last:
        which = f"verdict {first} is" if first == last else f"verdicts {first} to {last} are"
        found.find(Kind.SEQUENCE, f"{which} missing, and the journal does not say why", run.epoch, first)


def _check_verdict(found: Audit, run: Run, seq: int, row: list[object], text: str) -> None:
    try:
        v = Verdict.model_validate_json(text)
    except ValueError as error:
        found.find(Kind.VERDICT, f"verdict {seq} breaks the rules: {broken_rule(error)}", run.epoch, seq)
        return
    published = [v.part, v.verdict, v.reason, v.score, v.threshold, v.age_ms, v.time, v.backend]
    if (v.epoch, v.seq) != (run.epoch, seq) or published != row:
        found.find(Kind.VERDICT, f"verdict {seq} is not what was published", run.epoch, seq)
    elif v.boot not in (0, run.boot):
        found.find(Kind.RUN, f"verdict {seq} says boot {v.boot}, the run is boot {run.boot}", run.epoch, seq)


def _check_acknowledgements(journal: sqlite3.Connection, found: Audit) -> None:
    runs = {run.epoch: run for run in found.runs}
    for epoch, seq, client in journal.execute(
        "SELECT DISTINCT epoch, seq, client FROM acknowledgements WHERE fate = ? ORDER BY rowid", (Fate.PASSED,)
    ):
        proof = prove(journal, found.live_epoch, epoch, seq)
        if epoch in runs:
            runs[epoch].passed += 1
        if proof.standing in (Standing.ESCAPE, Standing.UNPROVEN):
            found.find(Kind(proof.standing), f"{client} let part {seq} pass: {proof.why}", epoch, seq)
    for epoch, seq, client, fates in journal.execute(
        "SELECT epoch, seq, client, group_concat(DISTINCT fate) FROM acknowledgements "
        "GROUP BY epoch, seq, client HAVING count(DISTINCT fate) > 1"
    ):
        said = " and ".join(fates.split(","))
        found.find(Kind.ACKNOWLEDGEMENT, f"{client} said of part {seq} that it was {said}", epoch, seq)


def _check_gate(journal: sqlite3.Connection, found: Audit, path: Path) -> None:
    report, logged = GateReport(), Logged()
    found.gate = report
    for decision, proof in join(journal, found.open_epoch, read_decisions(path, report)):
        logged.note(decision)
        named, where = f"part {decision.part or '?'} ({decision.seq})", (decision.epoch, decision.seq)
        if not decision.is_consistent:
            said = f"{decision.decision}, {decision.why or 'no reason'}, {decision.fate or 'no fate'}"
            found.find(Kind.GATE, f"the gate's line on {named} contradicts itself: {said}", *where)
        if not decision.passes:
            report.rejects[decision.why or "no reason"] += 1
            continue
        report.passes[proof.standing] += 1
        if proof.standing in (Standing.ESCAPE, Standing.UNPROVEN):
            found.find(Kind(proof.standing), f"the gate let {named} pass: {proof.why}", *where)
    if report.is_cut and found.open_epoch is None:
        found.find(Kind.GATE, "a line of the gate's log has no end: it was cut, or is being written")
    (report.clients,) = journal.execute("SELECT count(DISTINCT client) FROM acknowledgements").fetchone()
    (verdicts,) = journal.execute("SELECT count(*) FROM verdicts").fetchone()
    if verdicts and not logged:
        verdicts = counted(verdicts, "verdict")
        found.find(Kind.GATE, f"the gate's log holds no decision, and the journal {verdicts}")
    elif report.clients == 1:
        for text, epoch, seq in compare(journal, logged):
            if found.cut_run is not None and epoch == found.cut_run.epoch and seq and seq > logged.last(epoch):
                continue  # the log was copied before the journal
            found.find(Kind.GATE, text, epoch, seq)


def _check_images(journal: sqlite3.Connection, found: Audit) -> None:
    rows = journal.execute("SELECT rowid, epoch, seq, path, sha256, gone FROM images ORDER BY rowid").fetchall()
    kept, copied, seen = 0, _copied_images(journal, found), set[str]()
    for rowid, epoch, seq, path, digest, gone in rows:
        if gone is not None:
            found.images_gone += 1
            continue
        fault = "the journal lists it twice" if path in seen else misplaced(found.folder, path)
        fault = fault or _image_fault(journal, found.folder, path, epoch, seq, digest)
        seen.add(path)
        if fault is not None and found.is_live and not (found.folder / path).exists():
            time.sleep(REMOVAL_S)
            if journal.execute("SELECT gone FROM images WHERE rowid = ?", (rowid,)).fetchone() != (None,):
                found.images_gone += 1
                continue
        is_incomplete = fault is not None and copied is not None and _is_incomplete(found.folder / path)
        if is_incomplete and copied is not None and copied.may_lack(epoch, seq, path, rowid):
            continue
        kept += 1
        if fault is not None:
            found.find(Kind.IMAGE, f"{path}: {fault}", epoch, seq)
    found.images = kept
    found.copied = copied.counts if copied is not None else Counter()
    _check_strangers(journal, found, copied)


def _copied_images(journal: sqlite3.Connection, found: Audit) -> CopiedImages | None:
    return None if found.cut_run is None else CopiedImages(journal, found.folder, found.cut_run.epoch)


def _is_incomplete(image: Path) -> bool:
    return not (image.exists() and image.with_suffix(SIDECAR).exists())


def _check_strangers(journal: sqlite3.Connection, found: Audit, copied: CopiedImages | None) -> None:
    """Files among the images that no row knows."""
    strangers = _strangers(journal, found.folder)
    if strangers and found.is_live:  # stored just now, and the journal hears of it in a moment
        time.sleep(REMOVAL_S)
        strangers &= _strangers(journal, found.folder)
    for path in sorted(strangers):
        if copied is not None and copied.may_have(path):
            continue
        found.find(Kind.IMAGE, f"{path}: the journal knows no such image")


def _strangers(journal: sqlite3.Connection, folder: Path) -> set[str]:
    """What lies among the images and is neither one of the journal nor beside one, below the records' folder."""
    names = set(files_of_images(folder))
    known = {path for (path,) in journal.execute("SELECT path FROM images WHERE gone IS NULL")}
    beside = (HOLD, NEW)
    return {
        name for name in names - known if not name.endswith(beside) and f"{name.removesuffix(SIDECAR)}.png" not in known
    }


def _count_without_image(journal: sqlite3.Connection, found: Audit) -> None:
    had_frame = "CASE WHEN json_valid(v.json) THEN json_extract(v.json, '$.timing.in_ring') END IS NOT NULL"
    has_image = "EXISTS (SELECT 1 FROM images i WHERE i.epoch = v.epoch AND i.seq = v.seq)"
    found.without_image.update(
        dict(
            journal.execute(
                f"SELECT v.verdict, count(*) FROM verdicts v WHERE v.verdict IN (?, ?) AND {had_frame} "
                f"AND NOT {has_image} GROUP BY v.verdict ORDER BY v.verdict",
                (Outcome.REJECT, Outcome.UNKNOWN),
            )
        )
    )


def _image_fault(journal: sqlite3.Connection, folder: Path, path: str, epoch: str, seq: int, digest: str) -> str | None:
    """What is wrong with an image that lies where it should, or with its sidecar, in words."""
    images, name = (folder / IMAGES).resolve(), path.removeprefix(f"{IMAGES}/")
    try:
        with open_regular(images, name, MOST_IMAGE_BYTES) as file:
            if is_hollow(os.fstat(file.fileno())) or hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return "is not the image that was stored"
    except OSError as error:
        return f".png cannot be read: {error.strerror}"
    try:
        sidecar = read_sidecar(folder, path)
        row = journal.execute("SELECT json FROM verdicts WHERE epoch = ? AND seq = ? LIMIT 1", (epoch, seq)).fetchone()
        if sidecar.sha256 != digest or (row is not None and json.loads(row[0]) != sidecar.verdict):
            return "its sidecar says something else than the journal"
    except OSError as error:
        return f".json cannot be read: {error.strerror}"
    except (ValueError, RecursionError):
        return "its sidecar is damaged, or its verdict"
    return None
