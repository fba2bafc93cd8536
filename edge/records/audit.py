"""Audit of a record: every run's ledger and sequence, every acknowledgement, every image, and a gate's own log."""

import contextlib
import sqlite3
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from edge.channel.control_messages import Fate
from edge.records.audit_result import Audit, Kind, Run
from edge.records.block_audit import add_expired, check_blocks
from edge.records.gate_log import GateReport, Logged, compare, join, read_decisions
from edge.records.image_audit import check_images, count_without_image
from edge.records.journal import JOURNAL, check_rows, open_to_read, why_unread
from edge.records.pass_proof import Prover, Standing, broken_rule
from edge.records.plc_log import PlcReport, check_plc_log
from edge.records.recorder import is_copy, is_taken
from edge.records.stored_verdicts import acknowledged, controllers, epochs, expired_seq, of_run
from edge.records.tables import EVENTS, RUNS, VERDICTS
from edge.records.verdict_blocks import as_said
from edge.text import counted
from edge.verdict import Outcome, Verdict


def audit(folder: Path, gate_log: Path | None = None, with_images: bool = True, plc_log: Path | None = None) -> Audit:
    """Check the records of a live or a dead station, or a copy of them; writes nothing.

    Raises RecordsError if there is no journal in `folder`, or `gate_log` or `plc_log` is none.
    """
    found = Audit(folder, is_taken(folder))
    found.is_copy = not found.is_live and is_copy(folder)
    try:
        with contextlib.closing(open_to_read(folder, _bytes(gate_log) + _bytes(plc_log))) as journal:
            for aside in sorted(folder.glob("journal-damaged-*.db")):
                found.find(Kind.JOURNAL, f"a damaged journal was moved aside: {aside.name}")
            journal.execute("BEGIN")  # all checks read one state of a journal that is being written
            _check_file(journal, found)
            if journal.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
                check_rows(journal)
                check_blocks(journal, found)
                _check_runs(journal, found)
                _find_challenges(journal, found)
                _check_acknowledgements(journal, found)
                if gate_log is not None:
                    _check_gate(journal, found, gate_log)
                if plc_log is not None:
                    _check_plc(journal, found, plc_log)
                journal.execute("COMMIT")
                if with_images:
                    check_images(journal, found)
                    count_without_image(journal, found)
    except sqlite3.Error as error:
        found.find(Kind.JOURNAL, f"{JOURNAL} cannot be read to its end: {why_unread(error)}")
    found.problems.sort(key=lambda problem: list(Kind).index(problem.kind))
    return found


def _bytes(log: Path | None) -> int:
    return log.stat().st_size if log is not None and log.is_file() else 0


def _check_file(journal: sqlite3.Connection, found: Audit) -> None:
    for (said,) in journal.execute("PRAGMA quick_check(5)"):
        if said != "ok":
            found.find(Kind.JOURNAL, f"{JOURNAL} is damaged: {str(said).splitlines()[-1]}")


def _check_runs(journal: sqlite3.Connection, found: Audit) -> None:
    shown = Run.__dataclass_fields__.keys()
    for row in RUNS.read(journal, "ORDER BY rowid"):
        found.runs.append(Run(**{name: value for name, value in row.items() if name in shown}))
    if found.runs and found.runs[-1].ended is None:
        found.runs[-1].is_live, found.runs[-1].is_cut = found.is_live, found.is_copy
    for epoch, count in Counter(run.epoch for run in found.runs).items():
        if count > 1:
            found.find(Kind.RUN, f"{count} runs have the same epoch", epoch)
    for before, after in zip(found.runs, found.runs[1:], strict=False):
        if after.boot <= before.boot:
            found.find(Kind.RUN, f"boot {after.boot} came after boot {before.boot}", after.epoch)
    known = {run.epoch for run in found.runs}
    for epoch in sorted(epochs(journal)):
        if epoch not in known:
            found.find(Kind.RUN, "verdicts of a run that the journal does not know", epoch)
    for (why,) in journal.execute("SELECT why FROM lost_ranges WHERE epoch IS NULL"):
        found.find(Kind.LOST, why)
    lost = defaultdict[str | None, list[_Lost]](list)
    for epoch, *one in journal.execute("SELECT epoch, lost_from, lost_to, why FROM lost_ranges"):
        lost[epoch].append(_Lost(*one))
    for run in found.runs:
        _check_run(journal, found, run, lost[run.epoch])


def _find_challenges(journal: sqlite3.Connection, found: Audit) -> None:
    """When it was shown last that this line stops a bad part, and when that failed."""
    shown = {"stored": "%: rejected, score %", "part": "%: rejected, % acknowledged: %", "failed": "%: FAILED: %"}
    for ending, like in shown.items():
        where = "kind = 'challenge' AND text LIKE ? ORDER BY rowid DESC LIMIT 1"
        for row in EVENTS.read(journal, f"WHERE {where}", (like,)):
            found.challenges[ending] = f"{row['time'][:19]}  {row['text']}"


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
    if run.last_seq is None:  # the run goes on, or did not end in order
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
    """Check the verdicts of a run in order of `seq`. Returns the last sequence number."""
    expired = expired_seq(journal, run.epoch)
    previous, last_seq, counts, kinds = 0, expired, Counter[str](), Counter[str]()
    held = 0  # verdicts that are there although their block expired
    for seq, text, row in of_run(journal, run.epoch):
        if seq <= previous:
            found.find(Kind.SEQUENCE, f"verdict {seq} was given twice", run.epoch, seq)
            continue
        if seq > last_seq + 1:
            _check_gap(found, run, lost, last_seq + 1, seq - 1)
        held += seq <= expired
        previous, last_seq = seq, max(last_seq, seq)
        outcome = _check_verdict(found, run, seq, text, row)
        counts[outcome] += 1
        if '"kind":' in text and isinstance(kind := getattr(as_said(text), "kind", None), str):
            kinds[kind] += 1
    run.kinds = dict(kinds.most_common())
    run.good, run.reject, run.unknown = (counts[o] for o in (Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN))
    add_expired(journal, found, run, held, [(one.first, one.last) for one in lost])
    return last_seq


def _check_gap(found: Audit, run: Run, lost: list[_Lost], first: int, last: int) -> None:
    """Report verdicts `first` to `last` as missing, except those in the journal's own ranges of lost verdicts."""
    run.lost += last - first + 1
    for one in sorted(lost, key=lambda one: one.first):
        if one.first <= first:
            first = last + 1 if one.last is None else max(first, one.last + 1)
    if first <= last:
        which = f"verdict {first} is" if first == last else f"verdicts {first} to {last} are"
        found.find(Kind.SEQUENCE, f"{which} missing, and the journal does not say why", run.epoch, first)


def _check_verdict(found: Audit, run: Run, seq: int, text: str, row: dict[str, Any] | None) -> str:
    """Check a verdict, with its columns if it is not in a block. Returns its outcome as far as it is known."""
    try:
        v = Verdict.model_validate_json(text)
    except ValueError as error:
        found.find(Kind.VERDICT, f"verdict {seq} breaks the rules: {broken_rule(error)}", run.epoch, seq)
        return str(row["verdict"] if row is not None else getattr(as_said(text), "verdict", ""))
    if row is not None and not VERDICTS.is_made_of(v, row):
        found.find(Kind.VERDICT, f"verdict {seq} differs between its columns and its JSON", run.epoch, seq)
    elif v.boot not in (0, run.boot):
        found.find(Kind.RUN, f"verdict {seq} says boot {v.boot}, the run is boot {run.boot}", run.epoch, seq)
    return str(v.verdict if row is None else row["verdict"])


def _check_acknowledgements(journal: sqlite3.Connection, found: Audit) -> None:
    runs, prover = {run.epoch: run for run in found.runs}, Prover(journal, found.live_epoch)
    for epoch, seq, rows in acknowledged(journal):
        fates = defaultdict[str, dict[str, None]](dict)
        for row in rows:
            fates[row["client"]][row["fate"]] = None
        for client, said in fates.items():
            if Fate.PASSED in said:
                _check_pass(prover, found, runs.get(epoch), (epoch, seq), client)
            if len(said) > 1:
                text = f"{client} said of part {seq} that it was {' and '.join(said)}"
                found.find(Kind.ACKNOWLEDGEMENT, text, epoch, seq)


def _check_pass(prover: Prover, found: Audit, run: Run | None, place: tuple[str, int], client: str) -> None:
    proof = prover.prove(*place)
    if run is not None:
        run.passed += 1
    if proof.standing in (Standing.ESCAPE, Standing.UNPROVEN):
        found.find(Kind(proof.standing), f"{client} let part {place[1]} pass: {proof.why}", *place)


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
    report.is_of_other_runs = bool(logged.epochs) and logged.epochs.isdisjoint(run.epoch for run in found.runs)
    if report.is_cut and found.open_epoch is None:
        found.find(Kind.GATE, "a line of the gate's log has no end: it was cut, or is being written")
    report.clients = len(controllers(journal))
    verdicts = sum(run.good + run.reject + run.unknown for run in found.runs)
    if verdicts and not logged:
        found.find(Kind.GATE, f"the gate's log holds no decision, and the journal {counted(verdicts, 'verdict')}")
    elif report.clients == 1:
        for text, epoch, seq in compare(journal, logged):
            if found.cut_run is not None and epoch == found.cut_run.epoch and seq and seq > logged.last(epoch):
                continue  # the log was copied before the journal
            found.find(Kind.GATE, text, epoch, seq)


def _check_plc(journal: sqlite3.Connection, found: Audit, path: Path) -> None:
    report = found.plc = PlcReport()
    for one in check_plc_log(journal, found.open_epoch, {run.station for run in found.runs}, path, report):
        kind = Kind.PLC if one.standing is None else Kind(one.standing)
        found.find(kind, one.text, one.epoch, one.seq)
    if report.is_cut and found.open_epoch is None:
        found.find(Kind.PLC, "a line of the log of edge-plc has no end: it was cut, or is being written")
