"""Challenges: proof at run time that the line stops a bad part. A stored picture of one is judged at a schedule, and a
marked bad part goes down the real line when a person says so. A challenge that fails suspends the station.
"""

import logging
import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from edge.channel.control_messages import (
    LONGEST_REASON,
    ChallengePart,
    ChallengeStage,
    ChallengeState,
    Fate,
)
from edge.errors import SourceError
from edge.station.inspection import Inspection, Note
from edge.station.parts import Part
from edge.station.process.messages import Inferred, PictureRead
from edge.station.process.ring import Ring
from edge.text import printable
from edge.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from edge.station.record_keeping import Records

SEQ = -1
"""Number of the stored picture at the model: parts have positive ones."""

KIND = "challenge"
"""Of the events in the journal."""

FAILED = "FAILED: "
"""What the event of a failed challenge begins with."""

PATIENCE_S = 10.0
"""How long a challenge that is due waits for a moment without parts."""

SLOW_S = 120.0
"""From then on a challenge that does not come is an alarm."""

MOST_ASKED = 3

Suspend = Callable[[str, str], None]
"""Suspends the station: by whom, and why."""


class StoredChallenge:
    """Lets the model score a stored picture of a bad part, in shared memory like a frame, and compares the score with
    the threshold. The picture is in no count, no verdict and no statistics.
    """

    def __init__(self, picture: Path, every_s: float, records: "Records", suspend: Suspend, note: Note) -> None:
        """The first one is due as soon as the station is ready."""
        self._picture, self._every_s = picture, every_s
        self._records, self._suspend, self._note = records, suspend, note
        self._memory: Ring | None = None
        self._shape = (0, 0)
        self._is_read = self._is_flying = False
        self._asked_run: int | None = None  # the start of the archive process that was asked for the picture
        self._asked = 0
        self._trouble: str | None = None
        self._due = time.monotonic()
        self.last: str | None = None
        """The result of the last one, as text for users."""
        records.pictures_read = self._take

    @property
    def alarms(self) -> tuple[str, ...]:
        """Why no challenge is possible, as text for users."""
        if self._trouble is not None:
            return (f"no challenge: {self._trouble}",)
        late_s = time.monotonic() - self._due
        if late_s <= max(self._every_s, SLOW_S):
            return ()
        return (f"no challenge for {late_s / 60:.0f} min: the model is never idle, or the station cannot judge",)

    @property
    def wants_model(self) -> bool:
        """Whether it is overdue and waits for the model only: no part is submitted ahead meanwhile."""
        is_ready = self._is_read and not self._is_flying and self._trouble is None
        return is_ready and time.monotonic() - self._due > PATIENCE_S

    def serve(self, inspection: Inspection, shape: tuple[int, int] | None, is_quiet: bool) -> None:
        """Take the next step. `shape` (height, width) is that of all frames; `is_quiet` says that no part waits. A
        challenge that is overdue does not wait for that, but only for the model.
        """
        late_s = time.monotonic() - self._due
        if self._trouble is not None or late_s < 0 or not (is_quiet or late_s > PATIENCE_S):
            return
        if not self._is_read:
            self._ask(shape)
        elif not self._is_flying and (inspection.scoring.is_idle or inspection.scoring.takes_ahead):
            assert self._memory is not None
            self._is_flying, self._due = True, time.monotonic() + self._every_s
            deadline_ns = time.monotonic_ns() + int(inspection.config.budget_ms * 1e6)
            inspection.scoring.submit(SEQ, self._memory.name(0), *self._shape, deadline_ns, is_part=False)

    def settle(self, result: Inferred, inspection: Inspection) -> None:
        """Handle what the model says of the picture."""
        self._is_flying = False
        artifact = inspection.artifact
        named = printable(f"stored picture {self._picture.name}, {inspection.bundle.label}")
        if result.fault is not None or not isfinite(result.score) or artifact is None:
            why = result.fault or f"the model's score is {result.score}"
            self._tell(logging.WARNING, f"{named}: unknown, {why}")
            return
        against = f"score {result.score:.4g}, threshold {artifact.threshold.value:.4g}"
        if artifact.threshold.rejects(result.score):
            self._tell(logging.INFO, f"{named}: rejected, {against}")
            return
        line = f"{FAILED}{named}: would pass, {against}"
        self._tell(logging.ERROR, line)
        self._suspend(KIND, line[:LONGEST_REASON])

    def take_back(self) -> None:
        """The model was lost before it started on the picture; it is submitted again."""
        self._is_flying, self._due = False, time.monotonic()

    def close(self) -> None:
        """Free the memory."""
        if self._memory is not None:
            self._memory.close()

    def _ask(self, shape: tuple[int, int] | None) -> None:
        """Let the archive process decode the picture."""
        if shape is None:
            self._trouble = printable(f"the source has frames of several sizes, {self._picture} has one")
            return
        if self._memory is None:
            try:
                self._memory, self._shape = Ring(1, shape[0] * shape[1] * 3), shape
            except SourceError as error:
                self._trouble = str(error)
                return
        run = self._records.archiving.child.restarts
        if self._asked_run == run:
            return
        if self._asked == MOST_ASKED:
            self._trouble = f"the archive process died {MOST_ASKED} times on {printable(str(self._picture))}"
        elif self._records.archiving.read_picture(str(self._picture), self._memory.name(0), *shape):
            self._asked_run, self._asked = run, self._asked + 1

    def _take(self, message: PictureRead) -> None:
        self._is_read = message.why is None
        if message.why is not None:
            self._trouble = printable(f"{self._picture}: {message.why}")
            self._note(logging.WARNING, f"no challenge: {self._trouble}", KIND)

    def _tell(self, level: int, line: str) -> None:
        self.last = line
        self._note(level, line, KIND)


class PartChallenge:
    """A marked bad part on the real line: its verdict must not be good, and a controller must acknowledge that it was
    rejected.
    """

    def __init__(self, suspend: Suspend, note: Note) -> None:
        """Nobody has asked yet."""
        self._suspend, self._note = suspend, note
        self._stage, self._why = ChallengeStage.NONE, ""
        self._wanted: str | None = None
        self._place: tuple[str, int] | None = None
        self._until = 0.0
        self._accepted = 0

    def ask(self, asked: ChallengePart, accepted: int) -> str | None:
        """Wait for the part. `accepted` is the number of the last accepted part: the next one comes after it. Returns
        why not, None if it is waited for.
        """
        if self._stage in (ChallengeStage.WAITING, ChallengeStage.JUDGED):
            return f"the challenge with {self._named} is not over"
        self._stage, self._why, self._wanted, self._place = ChallengeStage.WAITING, "", asked.part, None
        self._until, self._accepted = time.monotonic() + asked.within_s, accepted
        return None

    def state(self, stored: str | None) -> ChallengeState:
        """How it stands, with the result of the last stored picture."""
        return ChallengeState(stage=self._stage, part=self._wanted, why=self._why or None, stored=stored)

    def judged(self, part: Part, verdict: Verdict, payload: bytes) -> None:
        """See `Observer.judged`."""
        is_meant = verdict.seq > self._accepted if self._wanted is None else part.name == self._wanted
        if self._stage is not ChallengeStage.WAITING or not is_meant:
            return
        self._wanted, self._place, self._stage = part.name, (verdict.epoch, verdict.seq), ChallengeStage.JUDGED
        if verdict.verdict is Outcome.GOOD:
            self._fail(f"its verdict {verdict.seq} is good, score {verdict.score:.4g}")
        elif verdict.verdict is Outcome.UNKNOWN:
            self._stage, self._why = ChallengeStage.INCONCLUSIVE, f"its verdict is unknown/{verdict.reason}"
            self._note(logging.WARNING, f"{self._named}: nothing shown, {self._why}", KIND)

    def acknowledged(self, epoch: str, seq: int, fate: Fate, client: str) -> None:
        """A controller says what became of a part."""
        if self._stage is not ChallengeStage.JUDGED or self._place != (epoch, seq):
            return
        if fate in (Fate.REJECTED, Fate.LATE_REJECT):
            self._stage, self._why = ChallengeStage.PASSED, f"{client} acknowledged: {fate}"
            self._note(logging.INFO, f"{self._named}: rejected, {self._why}", KIND)
        else:
            self._fail(f"{client} acknowledged: {fate}")

    def serve(self) -> None:
        """Fail if the time is up."""
        is_open = self._stage in (ChallengeStage.WAITING, ChallengeStage.JUDGED)
        if is_open and time.monotonic() >= self._until:
            waits = self._stage is ChallengeStage.WAITING
            self._fail("it did not come in time" if waits else "no controller acknowledged it in time")

    @property
    def _named(self) -> str:
        return "the next part" if self._wanted is None else f"part {self._wanted}"

    def _fail(self, why: str) -> None:
        self._stage, self._why = ChallengeStage.FAILED, why
        line = f"{FAILED}{self._named}, a bad part: {why}"
        self._note(logging.ERROR, line, KIND)
        self._suspend(KIND, line[:LONGEST_REASON])
