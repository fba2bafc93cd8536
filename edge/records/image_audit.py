"""Audit of the images of a record: every stored image is unchanged, and no other files are among the images."""

import hashlib
import json
import os
import sqlite3
import time
from collections import Counter
from pathlib import Path

from edge.files import is_hollow, open_regular
from edge.records.audit_result import Audit, Kind
from edge.records.durable_files import NEW
from edge.records.record_copy import CopiedImages
from edge.records.retention import (
    HOLD,
    IMAGES,
    MOST_IMAGE_BYTES,
    SIDECAR,
    UNPICTURED,
    files_of_images,
    misplaced,
)
from edge.records.sidecar import read_sidecar
from edge.records.stored_verdicts import epochs, expired_images, find, of_run
from edge.records.verdict_blocks import as_said
from edge.verdict import Outcome

REMOVAL_S = 0.5
"""Longest time for which journal and images of a running station may disagree, while an image is stored or removed."""


def check_images(journal: sqlite3.Connection, found: Audit) -> None:
    """Compare the hash of each listed image with the journal, and look for files that the journal does not list."""
    rows = journal.execute("SELECT rowid, epoch, seq, path, sha256, gone FROM images ORDER BY rowid").fetchall()
    found.images_gone = expired_images(journal)
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
    """Report files among the images that no row of the journal lists."""
    strangers = _strangers(journal, found.folder)
    if strangers and found.is_live:  # an image stored just now enters the journal a moment later
        time.sleep(REMOVAL_S)
        strangers &= _strangers(journal, found.folder)
    for path in sorted(strangers):
        if copied is not None and copied.may_have(path):
            continue
        found.find(Kind.IMAGE, f"{path}: the journal knows no such image")


def _strangers(journal: sqlite3.Connection, folder: Path) -> set[str]:
    """Paths, relative to the records' folder, of files that are neither a listed image nor belong to one."""
    names = set(files_of_images(folder))
    known = {path for (path,) in journal.execute("SELECT path FROM images WHERE gone IS NULL")}
    beside = (HOLD, NEW)
    return {
        name for name in names - known if not name.endswith(beside) and f"{name.removesuffix(SIDECAR)}.png" not in known
    }


def count_without_image(journal: sqlite3.Connection, found: Audit) -> None:
    """Count the parts that had a frame and should have an image, and have none in the journal: rejects, unknowns, and
    the goods that the setting `keep_goods` of their run selects.
    """
    for epoch in sorted(epochs(journal)):
        every = kept_goods(journal, epoch)
        for seq, text, _ in of_run(journal, epoch):
            outcome = _pictured(text, seq, every)
            if outcome is None:
                continue
            images = journal.execute("SELECT 1 FROM images WHERE epoch = ? AND seq = ? LIMIT 1", (epoch, seq))
            if images.fetchone() is None:
                found.without_image[outcome] += 1
    found.without_image = Counter(dict(sorted(found.without_image.items(), key=lambda one: (one[0] == "good", one[0]))))


def _pictured(text: str, seq: int, every: int | None) -> str | None:
    """The outcome of a verdict if its part had a frame that should have an image, else None."""
    if '"verdict":"good"' in text and (not every or seq % every):
        return None
    said = as_said(text)
    timing, outcome = getattr(said, "timing", None), getattr(said, "verdict", None)
    if not isinstance(timing, dict) or timing.get("in_ring") is None or outcome not in set(Outcome):
        return None
    if getattr(said, "reason", None) in [*UNPICTURED]:
        return None
    is_wanted = outcome != Outcome.GOOD or (every and seq % every == 0)
    return str(outcome) if is_wanted else None


def kept_goods(journal: sqlite3.Connection, epoch: str) -> int | None:
    """The setting `keep_goods` of the run: one good in this many has an image, none if 0. None if it is unknown."""
    row = journal.cursor().execute("SELECT config AS config FROM runs WHERE epoch = ? LIMIT 1", (epoch,)).fetchone()
    try:
        every = json.loads(row["config"] if isinstance(row, dict) else row[0])["keep_goods"]
    except (TypeError, ValueError, LookupError, RecursionError):
        return None
    return every if type(every) is int and 0 <= every <= 2**53 else None


def _image_fault(journal: sqlite3.Connection, folder: Path, path: str, epoch: str, seq: int, digest: str) -> str | None:
    """The fault of an image that lies at its correct place, or of its sidecar, in words; None if there is none."""
    images, name = (folder / IMAGES).resolve(), path.removeprefix(f"{IMAGES}/")
    try:
        with open_regular(images, name, MOST_IMAGE_BYTES) as file:
            if is_hollow(os.fstat(file.fileno())) or hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return "is not the image that was stored"
    except OSError as error:
        return f".png cannot be read: {error.strerror}"
    try:
        sidecar = read_sidecar(folder, path)
        stored = find(journal, epoch, seq)
        if sidecar.sha256 != digest or (stored is not None and json.loads(stored.text) != sidecar.verdict):
            return "its sidecar says something else than the journal"
    except OSError as error:
        return f".json cannot be read: {error.strerror}"
    except (ValueError, RecursionError):
        return "its sidecar is damaged, or its verdict"
    return None
