"""A copy of a record made while its station was writing: journal, images and logs were copied at different times.

That alone explains two kinds of differences between journal and images: images newer than everything copied before, and
images older than everything the station keeps. Any other difference is a fault, as in the record itself.
"""

import hashlib
import re
import sqlite3
from collections import Counter
from pathlib import Path

from edge.files import open_regular
from edge.records.retention import HOLD, IMAGES, MOST_IMAGE_BYTES, SIDECAR, files_of_images, misplaced
from edge.records.sidecar import read_sidecar
from edge.records.stored_verdicts import expired_images, expired_runs

_NAME = re.compile(r"(\d{1,16})-(\w+)\.(png|json)")
_PICTURE = ".png"

MOST_ALONE = 1
"""Images of expired verdicts that a copy may have without a sidecar: that which was removed while it was copied."""


class CopiedImages:
    """Compares the images of a copy with its journal. `epoch` is the run that had not ended when the copy was made.

    `counts` is the number of accepted differences, by reason.
    """

    def __init__(self, journal: sqlite3.Connection, folder: Path, epoch: str) -> None:
        """Reads the journal and the names of the files; opens no image."""
        self.counts: Counter[str] = Counter()
        self._epoch, self._folder = epoch, folder
        self._removed: dict[str, bool] = {}  # images without a row whose verdicts have expired: whether they are own
        self._alone = 0
        rows = journal.execute("SELECT epoch, seq, path, rowid, gone FROM images").fetchall()
        self._last_told = max((seq for of, seq, *_ in rows if of == epoch), default=0)
        self._gone = {path for *_, path, _, gone in rows if gone is not None}
        self._without_row = expired_images(journal)
        self._has_removed = bool(self._gone) or self._without_row > 0
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
        if found and int(found[1]) <= self._expired.get(path.parent.name, 0):
            is_own = self._is_own(path.with_suffix(_PICTURE).as_posix(), int(found[1]), found[2])
            self.counts["removed to make room meanwhile"] += is_own and path.suffix == _PICTURE
            return is_own
        if found is None or path.parent.name != self._epoch or int(found[1]) <= self._last_told:
            return False
        self.counts["here before the journal tells of them"] += path.suffix == _PICTURE
        return True

    def _is_own(self, image: str, seq: int, outcome: str) -> bool:
        """Whether an image of an expired verdict can be one that was removed, and whose row is gone, too."""
        if image not in self._removed:
            is_own = sum(self._removed.values()) < self._without_row and self._is_confirmed(image, seq, outcome)
            self._removed[image] = is_own
        return self._removed[image]

    def _is_confirmed(self, image: str, seq: int, outcome: str) -> bool:
        """Whether the sidecar of an image says that it is that of this verdict. Its verdict is not compared with the
        journal, which has only counts of it.
        """
        if misplaced(self._folder, image) is not None:
            return False
        try:
            sidecar = read_sidecar(self._folder, image)
        except FileNotFoundError:
            self._alone += 1
            return self._alone <= MOST_ALONE
        except (OSError, ValueError):
            return False
        said = (sidecar.path, *map(sidecar.verdict.get, ("epoch", "seq", "verdict")))
        if said != (image, Path(image).parent.name, seq, outcome):
            return False
        top, name = (self._folder / IMAGES).resolve(), Path(image).relative_to(IMAGES).as_posix()
        try:
            with open_regular(top, name, MOST_IMAGE_BYTES) as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sidecar.sha256
        except FileNotFoundError:  # removed before its sidecar was copied
            return True
        except OSError:
            return False


def _outcome(path: str) -> str:
    found = _NAME.fullmatch(Path(path).name)
    return found[2] if found else ""
