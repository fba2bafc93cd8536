"""A copy of a record made while its station was writing: journal, images and logs were copied at different times.

That alone explains two kinds of differences between journal and images: images newer than everything copied before, and
images older than everything the station keeps. Any other difference is a fault, as in the record itself.
"""

import re
import sqlite3
from collections import Counter
from pathlib import Path

from edge.records.retention import HOLD, SIDECAR, files_of_images
from edge.records.stored_verdicts import expired_images, expired_runs

_NAME = re.compile(r"(\d{1,16})-(\w+)\.(png|json)")
_PICTURE = ".png"


class CopiedImages:
    """Compares the images of a copy with its journal. `epoch` is the run that had not ended when the copy was made.

    `counts` is the number of accepted differences, by reason.
    """

    def __init__(self, journal: sqlite3.Connection, folder: Path, epoch: str) -> None:
        """Reads the journal and the names of the files; opens no image."""
        self.counts: Counter[str] = Counter()
        self._epoch = epoch
        rows = journal.execute("SELECT epoch, seq, path, rowid, gone FROM images").fetchall()
        self._last_told = max((seq for of, seq, *_ in rows if of == epoch), default=0)
        self._gone = {path for *_, path, _, gone in rows if gone is not None}
        self._has_removed = bool(self._gone) or expired_images(journal) > 0
        self._expired = {row["epoch"]: row["last_seq"] for row in expired_runs(journal)}
        names = set(files_of_images(folder))
        mine = [Path(name) for name in names if name.endswith(_PICTURE) and name.split("/")[2:3] == [epoch]]
        whole = [path.name for path in mine if path.with_suffix(SIDECAR).as_posix() in names]
        self._last_whole = max((int(found[1]) for name in whole if (found := _NAME.fullmatch(name))), default=0)
        self._oldest: dict[str, int] = {}  # row of the oldest image in the copy, by outcome
        for _, _, path, rowid, gone in rows if self._has_removed else ():
            if gone is None and path in names and Path(path).with_suffix(HOLD).as_posix() not in names:
                self._oldest[_outcome(path)] = min(rowid, self._oldest.get(_outcome(path), rowid))

    def may_lack(self, epoch: str, seq: int, path: str, rowid: int) -> bool:
        """Whether the image of a journal row may be missing from the copy."""
        if epoch == self._epoch and seq > self._last_whole:
            self.counts["not here yet"] += 1
            return True
        if self._has_removed and rowid < self._oldest.get(_outcome(path), 0):
            self.counts["removed to make room meanwhile"] += 1
            return True
        return False

    def may_have(self, name: str) -> bool:
        """Whether the copy may have a file, `name` relative to the records' folder, that the journal does not list."""
        path = Path(name)
        if path.with_suffix(_PICTURE).as_posix() in self._gone:
            self.counts["removed to make room meanwhile"] += path.suffix == _PICTURE
            return True
        found = _NAME.fullmatch(path.name)
        if self._has_removed and found and int(found[1]) <= self._expired.get(path.parent.name, 0):
            self.counts["removed to make room meanwhile"] += path.suffix == _PICTURE
            return True
        if found is None or path.parent.name != self._epoch or int(found[1]) <= self._last_told:
            return False
        self.counts["here before the journal tells of them"] += path.suffix == _PICTURE
        return True


def _outcome(path: str) -> str:
    found = _NAME.fullmatch(Path(path).name)
    return found[2] if found else ""
