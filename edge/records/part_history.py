"""Everything that happened to a part, as the records have it."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from edge.errors import RecordsError
from edge.records.durable_files import open_private
from edge.records.journal import check_rows, open_to_read, why_unread
from edge.records.pass_proof import Proof, Standing, broken_rule, prove
from edge.records.retention import HOLD, misplaced
from edge.records.sidecar import read_sidecar
from edge.text import counted, printable
from edge.verdict import Verdict

Row = dict[str, Any]


@dataclass(frozen=True)
class Story:
    """One verdict on a part with this id, and what came of it."""

    verdict: Verdict
    acknowledgements: list[Row]
    late_results: list[Row]
    images: list[Row]
    proof: Proof | None
    """What the journal says of its passing, if a controller said that it passed."""

    @property
    def is_escape(self) -> bool:
        """True if the part passed and should not have."""
        return self.proof is not None and self.proof.standing is Standing.ESCAPE

    def as_json(self) -> Row:
        """The same for programs."""
        return {
            "verdict": self.verdict.model_dump(mode="json"),
            "acknowledgements": self.acknowledgements,
            "late_results": [row | {"score": _for_json(row["score"])} for row in self.late_results],
            "images": self.images,
            "passed": None if self.proof is None else self.proof._asdict(),
        }


def _for_json(score: float | None) -> float | None:
    """JSON has no infinity."""
    return score if score is not None and isfinite(score) else None


def stories(folder: Path, part: str) -> list[Story]:
    """Every verdict on a part with this id, the oldest first. Raises RecordsError if there is none."""
    try:
        with contextlib.closing(open_to_read(folder)) as journal:
            check_rows(journal, ["verdicts"], "part = ?", (part,))
            journal.row_factory = _as_dict
            rows = journal.execute("SELECT epoch, seq, json FROM verdicts WHERE part = ? ORDER BY rowid", (part,))
            told = [_story(journal, folder, row) for row in rows.fetchall()]
    except (sqlite3.Error, ValueError) as error:
        said = broken_rule(error) if isinstance(error, ValueError) else why_unread(error)
        raise RecordsError(f"{folder}: the journal cannot be read: {said}") from error
    if not told:
        raise RecordsError(f"{folder} knows no part {part!r}; edge-listen shows the ids of parts as they come")
    return told


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _story(journal: sqlite3.Connection, folder: Path, found: Row) -> Story:
    epoch, seq = found["epoch"], found["seq"]

    def of(table: str, columns: str) -> list[Row]:
        select = f"SELECT {columns} FROM {table} WHERE epoch = ? AND seq = ? ORDER BY rowid"
        return list(journal.execute(select, (epoch, seq)))

    check_rows(journal, ["acknowledgements", "late_results", "images"], "epoch = ? AND seq = ?", (epoch, seq))
    images = of("images", "path, sha256, bytes, time, gone")
    for image in images:
        is_there = misplaced(folder, image["path"]) is None
        image["held"] = is_there and (folder / image["path"]).with_suffix(HOLD).exists()
    acknowledgements = of("acknowledgements", "fate, client, time")
    proof = None
    if any(row["fate"] == "passed" for row in acknowledgements):
        journal.row_factory = None
        proof = prove(journal, None, epoch, seq)
        journal.row_factory = _as_dict
    verdict = Verdict.model_validate_json(found["json"])
    return Story(verdict, acknowledgements, of("late_results", "score, fault, time"), images, proof)


def tell(story: Story) -> Iterator[str]:
    """The story in plain lines."""
    v = story.verdict
    boot = f", boot {v.boot}" if v.boot else ""
    yield f"part {v.part}: {v.verdict}/{v.reason}, verdict {v.seq} of {v.station}, run {v.epoch}{boot}"
    if v.simulated:
        yield "  SIMULATED: the demonstration, not a line"
    t = v.timing
    moments = (
        (t.captured, f"captured from {v.source}"),
        (t.in_ring, "in shared memory"),
        (t.inference_start, f"shown to the model of {v.bundle}, {v.backend}"),
        (t.inference_end, "the model answered"),
        (t.published, f"published {v.verdict}/{v.reason}: {_grounds(v)}"),
    )
    for moment, text in moments:
        if moment is not None and moment < t.captured:
            yield f"  {'before':>13}  {text}: a stored picture, which lay there before the trigger"
        elif moment is not None:
            yield f"  {(moment - t.captured) / 1e6:+10.2f} ms  {text}"
    yield f"  {v.time}  published, {v.age_ms:.2f} ms after capture, budget {v.budget_ms:g} ms"
    for row in story.acknowledgements:
        yield f"  {row['time']}  {row['client']} acknowledged: {row['fate']}"
    if story.proof is not None and story.proof.standing is not Standing.PROVEN:
        yield f"  {story.proof.standing.upper()}: {story.proof.why}"
    for row in story.late_results:
        said = f"score {row['score']:.4g}" if row["score"] is not None else row["fault"]
        yield f"  {row['time']}  a result came too late and moved nothing: {said}"
    for row in story.images:
        state = f"removed: {row['gone']}" if row["gone"] else "held" if row["held"] else "kept"
        yield f"  {row['time']}  image {row['path']}, {row['bytes']} bytes, {state}"


def _grounds(v: Verdict) -> str:
    if v.score is None or v.threshold is None:
        return v.detail or "no score"
    sign = "≥" if v.score >= v.threshold else "<"
    marginal = ", as near as runtimes differ" if v.marginal else ""
    places = f", {counted(len(v.defects), 'place')}" if v.defects else ""
    return f"score {v.score:.4g} {sign} threshold {v.threshold:.4g}{marginal}{places}"


def hold(folder: Path, part: str, held: bool) -> list[Path]:
    """Hold the images of a part, so that they are never removed, or release them; those it is now true of.

    Raises RecordsError if there is no image of it, if the folder cannot be written, or, before anything is, if a path
    of the journal is not that of an image in this record.
    """
    rows = [row for story in stories(folder, part) for row in story.images if row["gone"] is None]
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
        pass  # it has just been removed
    except OSError as error:
        raise RecordsError(f"{error.filename}: {error.strerror}; run as the user of the station") from error
    return [image for image in there if image.exists()]


def _is_image(folder: Path, row: Row) -> bool:
    """Whether the image of a row is there. Raises RecordsError if what lies there is not the row's image.

    Its sidecar must say so: the folder of all images may be a link, and lead into the record of somebody else.
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
