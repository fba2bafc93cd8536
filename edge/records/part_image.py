"""The stored image of a part: its path, or the reason why there is none."""

import hashlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edge.errors import DataError, RecordsError
from edge.files import is_hollow, open_regular
from edge.records.image_audit import kept_goods
from edge.records.retention import IMAGES, MOST_IMAGE_BYTES, UNPICTURED, misplaced
from edge.text import printable
from edge.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from edge.frame import Frame

NEVER_STORED = (
    "it was not stored, as when the disk is full, the images have all their room (edge-run --keep-gib) or the "
    "archive process is not ready, or is not stored yet"
)


class PartImage(NamedTuple):
    """Path of an image relative to the records' folder, and its SHA-256. Without an image `path` is None and `why` is
    the reason, in words.
    """

    path: str | None
    sha256: str = ""
    why: str = ""


def find_image(folder: Path, journal: sqlite3.Connection, verdict: Verdict, rows: list[dict[str, Any]]) -> PartImage:
    """The image of a verdict. `rows` are the journal's rows of this verdict's images. No image file is read."""
    there = [row for row in rows if row["gone"] is None]
    if not there:
        why = f"it was removed: {rows[-1]['gone']}" if rows else _why_never_kept(journal, verdict)
        return PartImage(None, why=why)
    path, digest = there[-1]["path"], there[-1]["sha256"]
    fault = misplaced(folder, path)
    if fault is None and not (folder / path).is_file():
        fault = "is missing, and the journal does not say that it was removed"
    if fault is not None:
        return PartImage(None, why=f"{printable(path[:200])} {fault}; edge-audit without --part tells more")
    return PartImage(path, digest)


def _why_never_kept(journal: sqlite3.Connection, verdict: Verdict) -> str:
    if verdict.timing.in_ring is None:
        return "no frame of this part came"
    if verdict.reason in UNPICTURED:
        return "no picture is kept of a part that came while the station was suspended or stopped"
    if verdict.verdict is not Outcome.GOOD:
        return NEVER_STORED
    every = kept_goods(journal, verdict.epoch)
    if every is None:
        return "only some goods are kept (edge-run --keep-goods)"
    if every == 0:
        return "this run kept no goods (edge-run --keep-goods)"
    if verdict.seq % every:
        return f"of the goods this run kept those whose number is a multiple of {every} (edge-run --keep-goods)"
    return NEVER_STORED


def read_image(folder: Path, image: PartImage) -> "Frame":
    """The frame of a stored image, `uint8 [H, W, 3]` BGR.

    Raises RecordsError if the file cannot be read, is damaged, or differs from the stored image.
    """
    from edge.pictures.reader import decode_picture

    assert image.path is not None
    name = image.path.removeprefix(f"{IMAGES}/")
    try:
        with open_regular((folder / IMAGES).resolve(), name, MOST_IMAGE_BYTES) as file:
            data = b"" if is_hollow(os.fstat(file.fileno())) else file.read()
        if hashlib.sha256(data).hexdigest() != image.sha256:
            raise DataError("is not the image that was stored")
        return decode_picture(data)
    except OSError as error:
        raise RecordsError(f"{folder / image.path} cannot be read: {error.strerror}") from error
    except DataError as error:
        raise RecordsError(f"{folder / image.path} {error}; edge-audit {folder} tells more") from None
