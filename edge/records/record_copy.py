"""A copy of a record that its station was writing: journal, images and logs in it are of slightly different moments.

What differs for that reason alone lies at an edge: newer than all that was copied before it, or older than all that the
station keeps. A difference anywhere else is a fault, in a copy as in the record itself.
"""

import re
import sqlite3
from collections import Counter
from pathlib import Path

from edge.records.retention import HOLD, SIDECAR, files_of_images

_NAME = re.compile(r"(\d{1,16})-(\w+)\.(png|json)")
_PICTURE = ".png"


class CopiedImages:
    """The images of a copy beside its journal. `epoch` is the run that had not ended when it was copied.

    `counts` says how many images were excused, by why.
    """

    def __init__(self, journal: sqlite3.Connection, folder: Path, epoch: str) -> None:
        """Looks at the names of files, and opens none."""
        self.counts: Counter[str] = Counter()
        self._epoch = epoch
        rows = journal.execute("SELECT epoch, seq, path, rowid, gone FROM images").fetchall()
        self._last_told = max((seq for of, seq, *_ in rows if of == epoch), default=0)
        self._gone = {path for *_, path, _, gone in rows if gone is not None}
        names = set(files_of_images(folder))
        mine = [Path(name) for name in names if name.endswith(_PICTURE) and name.split("/")[2:3] == [epoch]]
        whole = [path.name for path in mine if path.with_suffix(SIDECAR).as_posix() in names]
        self._last_whole = max((int(found[1]) for name in whole if (found := _NAME.fullmatch(name))), default=0)
        self._oldest: dict[str, int] = {}  # row of the oldest image that is here, by outcome
        for _, _, path, rowid, gone in rows if self._gone else ():
            if gone is None and path in names and Path(path).with_suffix(HOLD).as_posix() not in names:
                self._oldest[_outcome(path)] = min(rowid, self._oldest.get(_outcome(path), rowid))

    def may_lack(self, epoch: str, seq: int, path: str, rowid: int) -> bool:
        """Whether the image of a row of the journal may be missing here."""
        if epoch == self._epoch and seq > self._last_whole:
            self.counts["not here yet"] += 1
            return True
        if self._gone and rowid < self._oldest.get(_outcome(path), 0):
            self.counts["removed to make room meanwhile"] += 1
            return True
        return False

    def may_have(self, name: str) -> bool:
        """Whether a file of this name, below the records' folder, may be here though the journal does not list it."""
        path = Path(name)
        if path.with_suffix(_PICTURE).as_posix() in self._gone:
            self.counts["removed to make room meanwhile"] += path.suffix == _PICTURE
            return True
        found = _NAME.fullmatch(path.name)
        if found is None or path.parent.name != self._epoch or int(found[1]) <= self._last_told:
            return False
        self.counts["here before the journal tells of them"] += path.suffix == _PICTURE
        return True


def _outcome(path: str) -> str:
    found = _NAME.fullmatch(Path(path).name)
    return found[2] if found else ""
