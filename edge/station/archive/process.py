"""The supervisor's side of the archive child: sends frames, receives slots and reports of images. It never fails the
station: an archive that is dead, hangs or has no room raises an alarm.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

from edge.records.retention import UNPICTURED, Keeping
from edge.station.archive.child import run_archive
from edge.station.process.child import Child
from edge.station.process.messages import (
    ArchiveReady,
    Copied,
    Depict,
    Depicted,
    Keep,
    NotStored,
    PictureRead,
    ReadPicture,
    Removed,
    Stop,
    Stored,
)
from edge.text import counted
from edge.verdict import Outcome, Verdict

MOST_LOANS = 2
"""Ring slots that the archive may hold at a time."""

LOAN_S = 2.0
"""A child that takes longer to copy a frame hangs."""

STARTING_S = 60.0
"""A child that takes longer to start hangs."""

MOST_WAITING = 64
MOST_WAITING_BYTES = 256 * 2**20
"""Limits of the frames in the child's memory that wait for the disk. Good parts may use half of each."""

IDLE_OWED = 8
"""Images that wait for the disk, with which previews are still made."""

SLOW_S = 5.0
"""An image that waits longer than this for the disk causes an alarm."""

SKIPPED_S = 60.0
"""Duration of the alarm after an image was not kept."""

ArchiveMessage = Copied | Depicted | Stored | NotStored | Removed | PictureRead


class _Unanswered(NamedTuple):
    size: int
    since: float


class Archiving:
    """Each accepted `offer` is answered by one Copied, and by one Stored or NotStored, from `receive` or `close`.

    `skipped` counts the images that should have been kept and were not accepted. `not_stored` counts the accepted
    images that were not stored.
    """

    def __init__(self, keeping: Keeping, station: str | None = None) -> None:
        """The process starts with the first `supervise`. `station` names the station in the child's log lines."""
        self.child = Child("edge-archive", run_archive, lambda: (keeping,), station=station)
        self.skipped = self.not_stored = 0
        self._keeping = keeping
        self._is_up = False
        self._cause = ""
        self._why_not: str | None = None
        self._loans: dict[int, float] = {}  # slots, with the time at which they were lent
        self._owed: dict[tuple[str, int], _Unanswered] = {}
        self._skipped_until = 0.0

    def offer(
        self, verdict: Verdict, payload: bytes, slot: int, memory: str, height: int, width: int, frame: int = 0,
        heat: str | None = None, is_shown: bool = False, is_wanted: bool = False,
    ) -> bool:  # fmt: skip
        """Offer the frame of a verdict, published as `payload`: the frame number `frame` in `slot`, `height` × `width`
        pixels. `heat` is its map as JSON; with `is_shown` a preview is made, too. With `is_wanted` the image of a good
        is kept whatever its number. Never waits.

        True: the slot is lent until `receive` returns it. False: it is not, and there will be no image.
        """
        if verdict.reason in UNPICTURED or not (is_wanted or self._keeping.wants(verdict.verdict, verdict.seq)):
            return False
        size = height * width * 3
        is_ready = self._is_up and len(self._loans) < MOST_LOANS and slot not in self._loans
        if not is_ready or self._is_full(verdict.verdict, size):
            self.skipped += 1
            self._skipped_until = time.monotonic() + SKIPPED_S
            return False
        now = time.monotonic()
        self._loans[slot], self._owed[verdict.epoch, verdict.seq] = now, _Unanswered(size, now)
        v = verdict
        day = v.time[:10]
        self.child.send(
            Keep(v.epoch, v.seq, v.verdict, day, payload, slot, memory, height, width, frame, heat, is_shown)
        )
        return True

    def depict(self, verdict: Verdict, slot: int, memory: str, height: int, width: int, frame: int = 0) -> bool:
        """Ask for a preview of a frame of which no image is kept. True: the slot is lent. False: the child is busy."""
        if not self._is_up or self._loans or len(self._owed) > IDLE_OWED:
            return False
        self._loans[slot] = time.monotonic()
        self.child.send(Depict(verdict.epoch, verdict.seq, slot, memory, height, width, frame))
        return True

    def read_picture(self, path: str, memory: str, height: int, width: int) -> bool:
        """Let the child decode a picture into shared memory; a PictureRead answers. False: the child is not ready."""
        if self._is_up:
            self.child.send(ReadPicture(path, memory, height, width))
        return self._is_up

    def _is_full(self, outcome: Outcome, size: int) -> bool:
        part = 2 if outcome is Outcome.GOOD else 1
        waiting = sum(owed.size for owed in self._owed.values())
        return len(self._owed) * part >= MOST_WAITING or (waiting + size) * part > MOST_WAITING_BYTES

    def receive(self) -> Iterator[ArchiveMessage]:
        """The archive child's messages since the last call; a Copied returns a slot."""
        try:
            while (message := self.child.receive()) is not None:
                match message:
                    case ArchiveReady():
                        self._is_up = True
                        continue
                    case Copied():
                        self._loans.pop(message.slot, None)
                    case Stored() | NotStored():
                        self._owed.pop((message.epoch, message.seq), None)
                        self._why_not = message.why if isinstance(message, NotStored) else None
                        self.not_stored += isinstance(message, NotStored)
                yield message
        except EOFError:
            yield from self._lose("the archive process died")

    def supervise(self) -> Iterator[ArchiveMessage]:
        """Kill the child if it hangs; start it if it does not run and its restart is due."""
        oldest = min(self._loans.values(), default=None)
        if oldest is not None and time.monotonic() - oldest > LOAN_S:
            yield from self._lose("the archive process hung and was killed")
        if not self._is_up and self.child.lived_s > STARTING_S:
            yield from self._lose(f"the archive process did not start within {STARTING_S:.0f} s")
        if not self.child.is_running and self.child.due_in_s == 0:
            self.child.start()

    @property
    def due_in_s(self) -> float:
        """Seconds until `supervise` has work that no message of the child announces."""
        now = time.monotonic()
        if not self.child.is_running:
            return self.child.due_in_s
        return max(0.0, min(self._loans.values(), default=now + SLOW_S) + LOAN_S - now)

    @property
    def waiting(self) -> int:
        """Number of images that wait for the disk."""
        return len(self._owed)

    @property
    def alarms(self) -> tuple[str, ...]:
        """Problems with the images, as text for users."""
        messages = []
        if self._cause and not self._is_up:
            messages.append(f"images: {self._cause}")
        if self._why_not is not None:
            messages.append(f"images are not kept: {self._why_not}")
        oldest = min((owed.since for owed in self._owed.values()), default=None)
        if oldest is not None and (waits_s := time.monotonic() - oldest) > SLOW_S:
            messages.append(f"images wait for the disk since {waits_s:.0f} s")
        if time.monotonic() < self._skipped_until:
            messages.append(f"{counted(self.skipped, 'image')} not kept: the archive was not ready")
        return tuple(messages)

    def close(self, patience_s: float) -> list[ArchiveMessage]:
        """Let the child store its images, for at most `patience_s` seconds, and end it; returns its last messages."""
        until = time.monotonic() + patience_s
        messages: list[ArchiveMessage] = []
        self.child.send(Stop())
        while (connection := self.child.connection) and connection.poll(max(0.0, until - time.monotonic())):
            messages.extend(self.receive())
        messages.extend(self._lose("the station was stopped"))
        self._cause = ""
        return messages

    def _lose(self, cause: str) -> Iterator[ArchiveMessage]:
        self.child.kill()
        self._is_up, self._cause = False, cause
        slots, owed = list(self._loans), list(self._owed)
        self._loans, self._owed = {}, {}
        self.not_stored += len(owed)
        yield from (Copied(slot) for slot in slots)
        yield from (NotStored(epoch, seq, cause) for epoch, seq in owed)
