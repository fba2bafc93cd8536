"""The station's side of the journal: calls queue rows for the writer's thread and never wait for the disk."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from edge.channel.control_messages import Fate
from edge.errors import RecordsError
from edge.files import read_regular
from edge.records.disk_reserve import LAST, Reserve, is_full
from edge.records.durable_files import PRIVATE_FOLDER, open_private, write_durably
from edge.records.expiry import JournalKeeping
from edge.records.journal import IMAGE_GONE, last_boot, last_epochs, wall_time
from edge.records.journal_reader import Answer, Replayer, Wanted
from edge.records.journal_upkeep import JournalUpkeep
from edge.records.journal_writer import End, Row, Writer
from edge.records.tables import (
    ACKNOWLEDGEMENTS,
    EVENTS,
    IMAGES,
    LATE_FIELDS,
    LATE_RESULTS,
    LOST_RANGES,
    RUNS,
    SHADOW_RESULTS,
    VERDICTS,
    Table,
    Value,
)
from edge.verdict import Outcome, Verdict

MOST_WAITING = 100_000
"""Rows that may wait for the disk. Further verdicts are not written; the journal gets their range and number. Other
rows are accepted only up to half of this number, so that a flood of acknowledgements displaces no verdict.
"""

MOST_EPOCHS = 1000
"""Number of earlier runs for which acknowledgements are still accepted."""

LOCK = "lock"
LOCK_TRIES, LOCK_TRY_S = 4, 0.05
"""Attempts to lock the folder, and the pause between them: an audit holds the lock briefly to test whether a station
has it.
"""

BOOT = "boot"
MOST_BOOTS = 2**53
"""Largest accepted boot number. Larger ones cannot come from counting runs, and may exceed an SQLite integer."""

MOST_DIGITS = 100
"""Largest size of a file with one number, in bytes."""


class Recorder:
    """Passes the rows of one run to the journal. All methods are called from one thread; only `close` waits.

    After construction no method raises an error of the disk: `alarms` describes the errors.
    """

    def __init__(
        self,
        folder: Path,
        station: str,
        most_waiting: int = MOST_WAITING,
        keeping: JournalKeeping = JournalKeeping(),  # noqa: B008  frozen
    ) -> None:
        """Lock the folder, which is created if it is missing, and start to check the journal in it.

        Raises RecordsError if the folder cannot be used, or if another station writes there.
        """
        self.station = station
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(PRIVATE_FOLDER)
            self._lock = _locked(folder)
            reserve = Reserve(folder / "reserve")
            self.boot = _next_boot(folder, reserve)
            self._epochs = last_epochs(folder, MOST_EPOCHS)
        except OSError as error:
            remedy = "give a folder that this user may write"
            raise RecordsError(f"{folder}: records cannot be kept there ({error.strerror}); {remedy}") from error
        self.lost = 0
        self._dropped = 0  # rows other than verdicts that were not written
        self._lost_from: int | None = None
        self._lost_to = 0
        self._epoch: str | None = None
        self._most_waiting = most_waiting
        self._writer, self._replayer = Writer(folder, reserve), Replayer(folder)
        self._upkeep = JournalUpkeep(folder, self._writer, keeping)
        self._writer.start()
        self._replayer.start()
        self._upkeep.start()

    # ------------------------------------------------------------------------------------ entries and replays

    def knows(self, epoch: str) -> bool:
        """Whether this run or one of the last thousand before it has this epoch."""
        return epoch == self._epoch or epoch in self._epochs

    def begin(self, epoch: str, source: str, bundle: str, config: str) -> None:
        """Enter the start of a run. `bundle` is the bundle's label, `config` the station's settings as JSON."""
        self._epoch = epoch
        self._put(
            RUNS,
            epoch=epoch,
            boot=self.boot,
            station=self.station,
            source=source,
            bundle=bundle,
            started=wall_time(),
            config=config,
        )

    def accept(self, accepted: int) -> None:
        """Set the number of accepted parts of this run. Each commit writes it, for a run that does not end in order."""
        self._writer.accepted = accepted

    def enter(self, verdict: Verdict, payload: bytes) -> None:
        """Enter the verdict that was published as `payload`. Verdicts must be entered in order of their `seq`."""
        if self.backlog >= self._most_waiting:
            self._lose(verdict.seq)
            return
        self._say_what_was_lost()
        self._writer.put(Row(*VERDICTS.entry(verdict, json=payload.decode()), verdict.seq))

    def acknowledge(self, epoch: str, seq: int, fate: Fate, client: str) -> None:
        """Enter what became of a part, as reported by the controller `client`."""
        self._put(ACKNOWLEDGEMENTS, epoch=epoch, seq=seq, fate=fate, client=client, time=wall_time())

    def late_result(self, epoch: str, seq: int, score: float | None, fault: str | None) -> None:
        """Enter a result that arrived after the verdict on its part was published. Only the journal stores it."""
        self._put(LATE_RESULTS, epoch=epoch, seq=seq, score=score, fault=fault, time=wall_time())

    def late_field(self, epoch: str, seq: int, name: str, text: str) -> None:
        """Enter a free field that was known after the verdict on its part was published. Only the journal stores it."""
        self._put(LATE_FIELDS, epoch=epoch, seq=seq, name=name, text=text, time=wall_time())

    def shadow_result(
        self, epoch: str, seq: int, bundle: str, outcome: Outcome, score: float | None, fault: str | None
    ) -> None:
        """Enter what the candidate with the label `bundle` says of a part."""
        said = {"bundle": bundle, "outcome": str(outcome), "score": score, "fault": fault}
        self._put(SHADOW_RESULTS, epoch=epoch, seq=seq, time=wall_time(), **said)

    def event(self, kind: str, text: str) -> None:
        """Enter another event, described by `text`."""
        self._put(EVENTS, epoch=self._epoch, kind=kind, text=text, time=wall_time())

    def image(self, epoch: str, seq: int, path: str, sha256: str, size: int) -> None:
        """Enter a stored image: `path` is relative to the records' folder, `size` in bytes."""
        self._put(IMAGES, epoch=epoch, seq=seq, path=path, sha256=sha256, bytes=size, time=wall_time())

    def image_gone(self, path: str, why: str) -> None:
        """Enter the removal of a stored image, with its reason."""
        self._put_row(IMAGE_GONE, (f"{why}, {wall_time()}", path))

    def read(self, token: object, epoch: str, from_seq: int, to_seq: int) -> None:
        """Request the verdicts `from_seq` to `to_seq`; `replays` returns one answer, with `token`."""
        self._replayer.ask(Wanted(token, epoch, from_seq, to_seq))

    def replays(self) -> Iterator[Answer]:
        """Answers to `read` that are ready: the verdicts on disk as published, at most 10,000, in order of `seq`."""
        return self._replayer.answers()

    # -------------------------------------------------------------------------------- condition of the journal

    @property
    def durable_seq(self) -> int:
        """Sequence number up to which all verdicts of this run are on disk."""
        return self._writer.durable_seq

    @property
    def backlog(self) -> int:
        """Number of rows that wait for the disk."""
        return self._writer.backlog

    @property
    def alarms(self) -> tuple[str, ...]:
        """The present problems of the journal, in words."""
        said = [self._writer.trouble, self._writer.damage, self._upkeep.trouble]
        if self._writer.is_on_reserve:
            said.append("the disk is full: the journal lives on its reserve")
        if self.lost or self._dropped:
            said.append(f"the journal did not keep up and lost {self.lost} verdicts and {self._dropped} other rows")
        return tuple(text for text in said if text is not None)

    def close(self, cause: str, last_seq: int, patience_s: float = 1.0) -> None:
        """End the run after `last_seq` published verdicts. Waits for the disk, at most `patience_s` seconds."""
        self._upkeep.stop()
        self._replayer.stop()
        self._writer.finish(End(str(_written(cause)), last_seq))
        self._writer.join(patience_s)
        if not self._writer.is_alive():  # otherwise the folder stays locked until this process ends
            os.close(self._lock)

    # --------------------------------------------------------------------------------------- queueing of rows

    def _put(self, table: Table, **given: Value) -> None:
        self._put_row(*table.entry(**given))

    def _put_row(self, sql: str, values: tuple[Value, ...]) -> None:
        if self.backlog >= self._most_waiting // 2:
            self._dropped += 1
            return
        self._say_what_was_lost()
        self._writer.put(Row(sql, tuple(map(_written, values))))

    def _lose(self, seq: int) -> None:
        self.lost += 1
        self._lost_from, self._lost_to = self._lost_from or seq, seq

    def _say_what_was_lost(self) -> None:
        if self._lost_from is not None:
            lost = {"lost_from": self._lost_from, "lost_to": self._lost_to, "accepted": self._lost_to}
            why = "the disk did not keep up"
            self._writer.put(Row(*LOST_RANGES.entry(epoch=self._epoch, **lost, why=why, time=wall_time())))
            self._lost_from = None


def _written(value: Value) -> Value:
    """The value in a form that SQLite accepts: a file name in a message need not be valid UTF-8."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _locked(folder: Path) -> int:
    """Descriptor of the folder's lock. The system releases it when the process ends, for whatever reason."""
    descriptor = open_private(folder / LOCK, os.O_RDWR | os.O_CREAT)
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sign(descriptor)
            return descriptor
        except BlockingIOError:
            time.sleep(LOCK_TRY_S)
    os.close(descriptor)
    remedy = "stop it, or give this one a folder of its own"
    raise RecordsError(f"{folder}: another station writes its records there; {remedy}")


def _sign(descriptor: int) -> None:
    """Write the lock file's own inode number into it: in a copy of the folder the number differs from the inode.

    A full disk may prevent this. A copy is then audited as the record itself, which reports more problems, not fewer.
    """
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.fstat(descriptor).st_ino}\n".encode(), 0)


def is_copy(folder: Path) -> bool:
    """Whether this folder is a copy of the folder to which a station wrote its records. False if that is unknown."""
    lock = folder / LOCK
    try:
        return int(read_regular(folder, LOCK, MOST_DIGITS)) != lock.lstat().st_ino
    except (OSError, ValueError):
        return False


def is_taken(folder: Path) -> bool:
    """Whether a station writes its records in this folder now."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _next_boot(folder: Path, reserve: Reserve) -> int:
    """The next boot number: one more than the largest in the journal and in the file `boot`, which remains if the
    journal is lost. Raises OSError.
    """
    path = folder / BOOT
    try:
        said = min(int(read_regular(folder, BOOT, MOST_DIGITS)), MOST_BOOTS)
    except (FileNotFoundError, ValueError):
        said = 0
    boot = max(said, min(last_boot(folder), MOST_BOOTS)) + 1
    text = {path: f"{boot}\n".encode()}
    try:
        write_durably(text)
    except OSError as error:
        if not (is_full(error) and reserve.release(keep=LAST)):
            raise
        write_durably(text)
    return boot
