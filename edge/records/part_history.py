"""The history of a part, from the records and the gate's own log."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from edge.errors import RecordsError
from edge.records.durable_files import open_private
from edge.records.gate_log import Decision, decisions_about, join
from edge.records.journal import check_rows, open_to_read, unread, wait_for_writer, why_unread
from edge.records.part_image import PartImage, find_image
from edge.records.pass_proof import Proof, Standing, broken_rule, prove
from edge.records.recorder import is_taken
from edge.records.retention import HOLD, misplaced
from edge.records.selection import Selection, row_conditions
from edge.records.sidecar import read_sidecar
from edge.records.stored_verdicts import (
    Stored,
    acknowledgements_of,
    expired_until,
    find,
    gaps,
    late_fields_of,
    late_results_of,
    one_state,
    select,
    shadow_results_of,
    why_none,
)
from edge.records.tables import ACKNOWLEDGEMENTS, IMAGES, LATE_FIELDS, LATE_RESULTS, SHADOW_RESULTS, VERDICTS
from edge.records.verdict_blocks import as_said
from edge.text import printable
from edge.verdict import Outcome, Verdict

Row = dict[str, Any]

MOST_SIDECARS = 20_000
"""Sidecars that are read in search of a part whose verdict has expired."""


@dataclass(frozen=True)
class Story:
    """One verdict on a part, with its acknowledgements, late results and fields, images and the gate's decisions."""

    verdict: Verdict
    acknowledgements: list[Row]
    late_results: list[Row]
    late_fields: list[Row]
    shadow_results: list[Row]
    images: list[Row]
    image: PartImage
    proof: Proof | None
    """The journal's proof of the pass; None if no controller acknowledged that the part passed."""
    decisions: list[tuple[Decision, Proof]] | None = None
    """Decisions from the gate's own log, each with the journal's proof of a pass; None without a log."""
    is_expired: bool = False
    """Whether the verdict has expired, and is that of the picture's sidecar; nothing else is known of it then."""
    gaps: tuple[str, ...] = ()
    """Damaged blocks of the journal, in words, in which there may be further verdicts on the part, or newer ones."""

    @property
    def is_escape(self) -> bool:
        """Whether the part passed without a verdict that allows it."""
        proofs = [self.proof, *(proof for _, proof in self.decisions or ())]
        return any(proof is not None and proof.standing is Standing.ESCAPE for proof in proofs)

    def as_json(self) -> Row:
        """The history as JSON types."""
        return {
            "verdict": self.verdict.model_dump(mode="json"),
            "acknowledgements": self.acknowledgements,
            "late_results": [row | {"score": _for_json(row["score"])} for row in self.late_results],
            "late_fields": self.late_fields,
            "shadow_results": [row | {"score": _for_json(row["score"])} for row in self.shadow_results],
            "images": self.images,
            "picture": {"path": self.image.path, "why_none": self.image.why or None},
            "gate": None
            if self.decisions is None
            else [
                decision.model_dump(mode="json") | {"passed": proof._asdict() if decision.passes else None}
                for decision, proof in self.decisions
            ],
            "passed": None if self.proof is None else self.proof._asdict(),
            "expired": self.is_expired,
            "gaps": [*self.gaps],
        }


def _for_json(score: float | None) -> float | None:
    """The score, None if it is not finite: JSON has no infinity."""
    return score if score is not None and isfinite(score) else None


def stories(folder: Path, part: str, gate_log: Path | None = None) -> list[Story]:
    """All verdicts on the part with the id `part`, oldest first, with the gate's decisions if `gate_log` is given.

    If all have expired, those whose picture is kept, as its sidecar tells. Raises RecordsError if there is no such
    verdict, or if the journal or the log cannot be read.
    """
    told, left_out = _read(folder, Selection(part=part), None, gate_log)
    if not told:
        told, until = _expired(folder, part, gate_log)
        if until is not None and not told:
            raise RecordsError(
                f"{folder} knows no part {part!r}; of verdicts published until {until} only counts are kept"
            )
    if not told and left_out:
        raise RecordsError(f"{folder} knows no part {part!r}, but {left_out[0]}: it may be there")
    if not told:
        like = _ending(folder, f"/{part}")
        hint = f"did you mean {like!r}?" if like else "edge-listen shows the ids of parts as they come"
        raise RecordsError(f"{folder} knows no part {part!r}; {hint}")
    return told


def story_of(folder: Path, epoch: str, seq: int) -> Story:
    """The history of one verdict; verdicts with the same part id are not read.

    Raises RecordsError if there is no such verdict, or if its block or the journal cannot be read.
    """
    with _reading(folder) as journal:
        stored = find(journal, epoch, seq)
        if stored is None:
            raise RecordsError(why_none(journal, folder, epoch, seq))
        check_rows(journal, [VERDICTS], "epoch = ? AND seq = ?", (epoch, seq))
        return _story(journal, folder, stored)


def last_stories(folder: Path, outcome: Outcome | None, count: int = 1, gate_log: Path | None = None) -> list[Story]:
    """The newest `count` verdicts of this outcome, or with None those that a candidate contradicts, newest last.

    Raises RecordsError as `stories` does.
    """
    told, left_out = _read(folder, Selection(outcome=outcome, flips=outcome is None), count, gate_log)
    if not told:
        known = f", but {left_out[0]}: there may be some" if left_out else ""
        none = "no verdict that a candidate contradicts" if outcome is None else f"no verdict {outcome}"
        raise RecordsError(f"{folder} has {none}{known}; edge-audit {folder} counts the verdicts that it has")
    return told


def _read(
    folder: Path, selection: Selection, newest: int | None, gate_log: Path | None
) -> tuple[list[Story], list[str]]:
    """The stories of the selected verdicts, or of the newest of them, oldest first, and the damaged blocks that may
    have further ones.
    """
    with _reading(folder) as journal:
        chosen = [*select(journal, selection, newest_first=newest is not None, limit=newest)]
        chosen.sort()
        at_least = 0 if newest is None or not chosen else chosen[0].row
        where, values = row_conditions(replace(selection, flips=False), False, False, False)
        check_rows(journal, [VERDICTS], f"rowid >= {at_least} AND {where}", values)
        left_out = gaps(journal)
        told = [replace(_story(journal, folder, stored), gaps=tuple(left_out)) for stored in chosen]
        return told if gate_log is None else _with_decisions(journal, told, gate_log), left_out


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """The journal in one state. Raises RecordsError if it cannot be read."""
    try:
        with contextlib.closing(open_to_read(folder)) as journal, one_state(journal):
            yield journal
    except (sqlite3.Error, ValueError) as error:
        raise unread(folder, error, broken_rule(error) if isinstance(error, ValueError) else None) from error


def _ending(folder: Path, ending: str) -> str | None:
    """The first part whose id has this ending; None if there is none."""
    text = json.dumps(ending, ensure_ascii=False)[1:]
    with _reading(folder) as journal:
        found = (as_said(stored.text) for stored in select(journal) if text in stored.text)
        parts = (getattr(said, "part", None) for said in found)
        return next((part for part in parts if isinstance(part, str) and part.endswith(ending)), None)


def _expired(folder: Path, part: str, gate_log: Path | None) -> tuple[list[Story], str | None]:
    """The stories of expired verdicts on a part, from the sidecars of the newest images, and until when verdicts
    expired; None if none did.
    """
    with _reading(folder) as journal:
        until = expired_until(journal)
        if until is None:
            return [], None
        check_rows(journal, [IMAGES])
        of_these = "e.epoch = images.epoch AND e.last_seq >= images.seq"
        where = f"gone IS NULL AND EXISTS (SELECT 1 FROM expired_runs e WHERE {of_these})"
        told = []
        for row in IMAGES.read(journal, f"WHERE {where} ORDER BY rowid DESC LIMIT {MOST_SIDECARS}"):
            with contextlib.suppress(OSError, ValueError):
                if misplaced(folder, row["path"]) is not None:
                    continue
                said = read_sidecar(folder, row["path"]).verdict
                if said.get("part") == part and (said.get("epoch"), said.get("seq")) == (row["epoch"], row["seq"]):
                    text = json.dumps(said)
                    verdict = Verdict.model_validate_json(text)
                    stored = Stored(0, verdict.epoch, verdict.seq, text)
                    told.append(replace(_story(journal, folder, stored), is_expired=True))
        told.reverse()
        return told if gate_log is None else _with_decisions(journal, told, gate_log), until


def _with_decisions(journal: sqlite3.Connection, told: list[Story], gate_log: Path) -> list[Story]:
    found = decisions_about(gate_log, [story.verdict for story in told])
    return [
        replace(story, decisions=list(join(journal, None, found[story.verdict.epoch, story.verdict.seq])))
        for story in told
    ]


def _story(journal: sqlite3.Connection, folder: Path, stored: Stored) -> Story:
    place = (stored.epoch, stored.seq)
    beside = [ACKNOWLEDGEMENTS, LATE_RESULTS, LATE_FIELDS, SHADOW_RESULTS, IMAGES]
    check_rows(journal, beside, "epoch = ? AND seq = ?", place)
    images = [*IMAGES.read(journal, "WHERE epoch = ? AND seq = ? ORDER BY rowid", place)]
    for image in images:
        del image["epoch"], image["seq"]
        is_there = misplaced(folder, image["path"]) is None
        image["held"] = is_there and (folder / image["path"]).with_suffix(HOLD).exists()
    acknowledgements = acknowledgements_of(journal, *place)
    proof = None
    if any(row["fate"] == "passed" for row in acknowledgements):
        proof = prove(journal, None, *place)
    verdict = stored.verdict
    found_image = find_image(folder, journal, verdict, images)
    later = late_results_of(journal, *place), late_fields_of(journal, *place), shadow_results_of(journal, *place)
    return Story(verdict, acknowledgements, *later, images, found_image, proof)


def hold(folder: Path, part: str, held: bool) -> list[Path]:
    """Hold the images of a part, so that they are never removed, or release them. Returns the images concerned.

    Raises RecordsError if the part has no image, if its verdict expired before it was held, if the folder cannot be
    written or, before any file is changed, if a path in the journal is not the path of an image in this record.
    """
    told = stories(folder, part)
    rows = [row for story in told for row in story.images if row["gone"] is None]
    there = [folder / row["path"] for row in rows if _is_image(folder, row)]
    if not there:
        raise RecordsError(f"{folder} keeps no image of part {part!r}; edge-audit {folder} --part {part} says why")
    try:
        for image in there:
            if held:
                os.close(open_private(image.with_suffix(HOLD), os.O_WRONLY | os.O_CREAT))
            else:
                image.with_suffix(HOLD).unlink(missing_ok=True)
    except FileNotFoundError:
        raise RecordsError(f"{folder}: the station removed an image of part {part!r} at this moment") from None
    except OSError as error:
        raise RecordsError(f"{error.filename}: {error.strerror}; run as the user of the station") from error
    if held and (verdicts := [story.verdict for story in told if not story.is_expired]):
        _check_still_there(folder, verdicts)
    return [image for image in there if image.exists()]


def _check_still_there(folder: Path, verdicts: list[Verdict]) -> None:
    """Raise RecordsError if one of the verdicts expired while its image was put on hold."""
    if is_taken(folder):
        try:
            wait_for_writer(folder)  # a station looks for holds inside of the transaction in which verdicts expire
        except sqlite3.Error as error:
            raise RecordsError(
                f"{folder}: the images of part {verdicts[0].part!r} are on hold, but whether its verdict expired at "
                f"this moment is not known: {why_unread(error)}"
            ) from error
    with _reading(folder) as journal:
        gone = [v for v in verdicts if find(journal, v.epoch, v.seq) is None]
        if gone:
            raise RecordsError(
                f"{folder}: the images of part {gone[0].part!r} are on hold, but its verdict {gone[0].seq} expired at "
                f"this moment: of verdicts published until {expired_until(journal)} only counts are kept"
            )


def _is_image(folder: Path, row: Row) -> bool:
    """Whether the image of a journal row exists. Raises RecordsError if the file at its path is another image.

    The sidecar must confirm path and hash: the folder of all images may be a link into another station's records.
    """
    path = row["path"]
    fault = misplaced(folder, path)
    if fault is None and not (folder / path).exists():
        return False
    try:
        sidecar = read_sidecar(folder, path) if fault is None else None
    except (OSError, ValueError):
        fault = "has no sidecar, or a damaged one"
    else:
        if sidecar is not None and (sidecar.path, sidecar.sha256) != (path, row["sha256"]):
            fault = "is not the image of this part"
    if fault is not None:
        raise RecordsError(
            f"{folder}: {printable(path[:200])} {fault}; nothing is changed; edge-audit {folder} says what is wrong"
        )
    return True
