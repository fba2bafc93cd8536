"""The supervisor's hold on the capture child: its ring, its captures, its life."""

import time
from collections.abc import Iterator
from pathlib import Path

from edge.errors import SourceError
from edge.presence import Presence, Remembered
from edge.sources import Mark, SourceRequest
from edge.station.capture.child import run_capture
from edge.station.config.resolved import StationConfig
from edge.station.process.child import Child
from edge.station.process.messages import Captured, Ended, Expose, Failed, GiveSlot, NeedsRoom, Opened, Waiting, Watched
from edge.station.process.ring import Ring
from edge.verdict import Fault, Reason

SLOTS = {"every": 10, "latest": 6}
"""Frames the ring holds: one is inferred, one is written, two may be on loan to the archive, the rest wait."""

OPENING_S = 20.0
"""A child that takes longer to open the source hangs. Network cameras and USB cameras just plugged in take seconds."""

FIRST_FRAME_MS = 5000
"""Patience with a live source for its first frame, doubled each time that it was not enough, four times at most."""

LIVE_SILENCE_MS = 800
"""A live source that gives no frame for this long, and for three of its periods, is killed and opened again."""

STORED_SILENCE_MS = 10_000
"""The same for a stored source that has a slot to fill."""

EXPOSURE_S = 2.0
"""A camera that gives no frame for so long after it was told to expose, to show that it is back, is opened again."""

LONGEST_BACKOFF_S = 0.5
"""A camera that comes back is to be seen soon, however long it was away."""

LAST_DEATHS = 3
"""A capture process that died this often on opening the source will not open it the next time either: a stored source
is given up then, and a camera that was never there."""

POISON_DEATHS = 2
"""A picture on which the capture child died this often is given up as corrupt."""


class Intake:
    """Frames come out of `hear`, in order; each one's slot is held once and must be given back with `release`, as often
    as it was held.

    `dropped` counts the frames that were lost in the capture child because no slot was free, and those of a camera that
    has just come back: until it has given enough good ones in a row they are nobody's.
    """

    def __init__(self, config: StationConfig) -> None:
        """Nothing runs before `start`."""
        self.child = Child("edge-capture", run_capture, self._arguments, LONGEST_BACKOFF_S)
        self.opened: Opened | None = None
        self.is_up = False
        self.has_ended = False
        self.dropped = 0
        self.cause: str | None = "the source is being opened"
        self.blind: Fault | None = None  # why no part can be found, though frames come
        self._config = config
        self._ring: Ring | None = None
        self._busy: dict[int, int] = {}  # slots that hold frames, and how many hold each
        self._next_index = 0
        self._said: str | None = None  # its last words
        self._deaths = 0
        self._heard_ns = 0
        self._has_begun = False
        self._has_frames = False  # since it was opened last
        self._to_resume = 0  # good frames that a camera which was lost still has to give
        self._exposed_ns: int | None = None  # when it was told to, to show that it is back
        self._presence = config.presence if config.trigger == "presence" else None
        self._remembered: Remembered | None = None  # by the finder of parts
        self._began_ns: int | None = None  # a line that runs by the clock
        self._mark: Mark | None = None  # of the last picture of a watched folder

    def _arguments(
        self,
    ) -> tuple[SourceRequest, str | None, Path | None, float, Presence | None, Remembered | None]:
        c = self._config
        name = self.opened.lasting_name if self.opened and self.opened.lasting_name else c.source
        every = c.policy == "every" or c.trigger != "free"
        is_lost = self.opened is not None and self.opened.device
        request = c.request(name, self._next_index, every, self._began_ns, is_lost, self._mark)
        is_told = (c.camera.trigger or "").lower() == "software"  # then each frame is of a part
        policy = "latest" if c.trigger == "external" and not is_told else c.policy  # else those of none make room
        policy = policy if self._presence is None else "every"  # every part, that is
        return request, policy, c.envelope, c.stale_ms, self._presence, self._remembered

    def hear(self) -> Iterator[Captured]:
        """What the capture child has captured since. Raises SourceError if the source cannot be opened at first."""
        try:
            while (message := self.child.receive()) is not None:
                self._heard_ns = time.monotonic_ns()
                match message:
                    case Captured():
                        captured = self._take(message)
                        if self._to_resume:
                            self._resume(captured)
                        else:
                            yield captured
                    case Watched():
                        yield from self._watch(message)
                    case Waiting():
                        pass
                    case NeedsRoom():
                        self._enlarge(message)
                    case Opened():
                        self._open(message)
                    case Ended():
                        self.has_ended = True
                        self.dropped += message.dropped
                    case Failed():
                        if self.opened is None:
                            raise SourceError(message.message)
                        self._said = message.message
        except EOFError:
            yield from self._lose(self._said or "the capture process died")

    def begin(self) -> None:
        """Let the source begin. A camera that runs freely did when it was opened: till now its frames are nobody's."""
        if not self._has_begun:
            self._has_begun = True
            self._lend_all()

    @property
    def is_resuming(self) -> bool:
        """Whether the camera was lost, is back, and has yet to show that it is well."""
        return self._to_resume > 0

    @property
    def exposes_when_told(self) -> bool:
        """Whether each frame has to be asked for with `expose`."""
        return self.opened is not None and self.opened.exposes_when_told

    def expose(self) -> bool:
        """Tell the camera to expose. False if it is not there, or has not begun."""
        may_expose = self.is_up and self._has_begun and self.exposes_when_told
        if may_expose:
            self.child.send(Expose())
        return may_expose

    def give_up(self, cause: str) -> None:
        """The camera is to be opened again."""
        for captured in self._lose(cause):
            self.release(captured.slot)

    def hold(self, slot: int) -> None:
        """One more needs the frame in this slot."""
        self._busy[slot] += 1

    def release(self, slot: int | None) -> None:
        """One of those who hold the frame in this slot is done with it; after the last it is free."""
        if slot is None:
            return
        self._busy[slot] -= 1
        if not self._busy[slot]:
            del self._busy[slot]
            self._lend(slot)

    @property
    def age_ms(self) -> float | None:
        """Since the last sign of life of a live source; None of a stored one, which waits until it is asked."""
        if self.opened is None or not self.opened.live or not self._has_begun:
            return None
        return (time.monotonic_ns() - self._heard_ns) / 1e6

    def memory(self, slot: int) -> str:
        """Name of the shared memory of a slot."""
        assert self._ring is not None
        return self._ring.name(slot)

    def revive(self) -> Iterator[Captured]:
        """Kill the child if it hangs; start one where there is none and its time has come."""
        silent_ms = (time.monotonic_ns() - self._heard_ns) / 1e6
        if self._owes_a_frame and silent_ms > self._patience_ms:
            yield from self._lose(f"no frame for {silent_ms:.0f} ms")
        if self._exposed_ns is not None and time.monotonic_ns() - self._exposed_ns > EXPOSURE_S * 1e9:
            yield from self._lose(f"no frame within {EXPOSURE_S:.0f} s after it was told to expose")
        if not self.is_up and self.child.lived_s > OPENING_S:
            yield from self._lose(f"the source did not open within {OPENING_S:.0f} s")
        if not self.child.is_running and not self.has_ended and self.child.due_in_s == 0:
            self.child.start()

    @property
    def _owes_a_frame(self) -> bool:
        has_room = self._ring is not None and len(self._busy) < len(self._ring)
        return self.is_up and self._has_begun and not self.has_ended and has_room

    @property
    def _patience_ms(self) -> float:
        if self.opened is None or not self.opened.live:
            return STORED_SILENCE_MS
        if not self._has_frames:
            return float(FIRST_FRAME_MS << min(4, self._deaths))
        return max(LIVE_SILENCE_MS, 3000 / self.opened.rate if self.opened.rate else 0)

    def close(self, patience_s: float) -> None:
        """End the child and free the ring."""
        self.child.stop(patience_s)
        if self._ring is not None:
            self._ring.close()

    def _open(self, opened: Opened) -> None:
        counts = self._config.trigger in ("free", "external")  # whose captures are frames
        is_back = self.opened is not None and opened.live and opened.device and counts
        self.opened, self.is_up, self.cause, self._has_frames = opened, True, None, False
        if is_back and self._has_begun and self._config.resume_frames:
            self._to_resume = self._config.resume_frames
            self.cause = f"it is back and has yet to give {self._to_resume} good frames in a row"
        if self._ring is None:
            height, width = opened.shape or (1, 1)
            frames = 1 if self._presence is None else self._presence.frames
            self._ring = Ring(SLOTS[opened.policy], height * width * 3 * frames)
        self._has_begun |= opened.free_running and opened.device  # one that is simulated waits
        self._lend_all()
        self._ask_to_resume()

    def _resume(self, captured: Captured) -> None:
        """A frame of a camera that has just come back: of no part, and a sign that it is well, or not yet."""
        self.release(captured.slot)
        self.dropped += 1
        self._to_resume = self._config.resume_frames if captured.fault else self._to_resume - 1
        if not self._to_resume:
            self.cause = None
        self._ask_to_resume()

    def _ask_to_resume(self) -> None:
        """A camera that exposes when it is told is told by us, one exposure after the other: no part has to be lost."""
        self._exposed_ns = time.monotonic_ns() if self._to_resume and self.expose() else None

    def _lend_all(self) -> None:
        """Every slot that holds no frame goes to the capture child, once the source may begin."""
        self._heard_ns = time.monotonic_ns()
        for slot in range(len(self._ring) if self._ring else 0):
            if slot not in self._busy:
                self._lend(slot)

    def _enlarge(self, request: NeedsRoom) -> None:
        assert self._ring is not None
        refusal = None
        try:
            self._ring.enlarge(request.slot, request.size)
        except SourceError as error:  # one picture without a verdict ends no line
            refusal = str(error)
        self._lend(request.slot, refusal)

    def _lend(self, slot: int, refusal: str | None = None) -> None:
        if self._ring is not None and self.is_up and self._has_begun:
            if len(self._busy) + 1 == len(self._ring):  # the child had no room till now
                self._heard_ns = time.monotonic_ns()
            self.child.send(GiveSlot(slot, self._ring.name(slot), self._ring.capacity(slot), refusal))

    def _take(self, captured: Captured) -> Captured:
        self._next_index = captured.position + 1
        self.dropped += captured.dropped
        self._deaths, self._has_frames = 0, True
        self._mark = captured.mark or self._mark
        if captured.slot is not None:
            self._busy[captured.slot] = 1
        return captured

    def _watch(self, watched: Watched) -> list[Captured]:
        """The parts that a frame decided. Frames may come though no part does."""
        self._remembered, self.blind, self._began_ns = watched.remembered, watched.blind, watched.began_ns
        self._next_index = max(self._next_index, watched.position + 1)
        if self.opened is not None and self.opened.device:
            self._deaths, self._has_frames = 0, True
        return [self._take(part) for part in watched.parts]

    def _lose(self, cause: str) -> Iterator[Captured]:
        """The child is dead or hangs: bury it. A stored picture it died on again and again is given up, and said so;
        a frame that is only watched for parts is given up, too, and is no part.

        Raises SourceError if the source cannot be opened and never will be.
        """
        self.child.bury()
        was_up, self.is_up, self.cause, self._said, self.blind = self.is_up, False, cause, None, None
        self._to_resume, self._exposed_ns = 0, None
        if self.has_ended:
            return
        self._deaths += 1
        is_stored = self.opened is not None and not self.opened.device
        if not was_up and (self.opened is None or is_stored) and self._deaths >= LAST_DEATHS:
            raise SourceError(f"{self._config.source_name} cannot be opened: {cause}, {self._deaths} times")
        if was_up and is_stored and self._has_begun and self._deaths >= POISON_DEATHS:
            if self._presence is not None:  # a frame is no part; one that follows is tried
                self._next_index, self._deaths, self.dropped = self._next_index + 1, 0, self.dropped + 1
                return
            now, position = time.monotonic_ns(), self._next_index
            fault = Fault(Reason.CORRUPT, f"the capture process died on it {self._deaths} times")
            yield self._take(Captured(None, position, f"#{position}", 0, 0, None, now, fault, None, 0))
