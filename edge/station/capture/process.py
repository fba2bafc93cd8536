"""The supervisor's side of the capture child: its ring, its captures, its start and end."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edge.errors import SourceError
from edge.presence import Presence, Remembered
from edge.sources import ExposureSettings, Mark, SourceRequest
from edge.station.capture.child import run_capture
from edge.station.capture.exposure_timeline import ExposureTimeline
from edge.station.codes.contract import MOST_FRAMES
from edge.station.config.resolved import StationConfig
from edge.station.process.child import Child, messages
from edge.station.process.messages import (
    Adjust,
    Adjusted,
    Captured,
    Ended,
    Expose,
    Failed,
    GiveSlot,
    NeedsRoom,
    Opened,
    Waiting,
    Watched,
)
from edge.station.process.ring import Ring
from edge.verdict import Fault, Reason

SLOTS = {"every": 10, "latest": 6}
"""Frames in the ring: one in inference and one ahead, one being written, up to two lent to the archive, the rest
waiting. With a code reader there are MOST_FRAMES more, with candidates one.
"""

STORED_SLOTS = 5
"""The same for stored pictures, which come when they are wanted: a small ring stays in the processor's cache."""

OPENING_S = 20.0
"""A child that takes longer to open the source hangs. Network cameras and newly plugged USB cameras take seconds."""

FIRST_FRAME_MS = 5000
"""Timeout for the first frame of a live source; it doubles after each timeout, four times at most."""

LIVE_SILENCE_MS = 800
"""A live source without a frame for this long, and for three of its periods, is killed and reopened."""

STORED_SILENCE_MS = 10_000
"""The same limit for a stored source that has a free slot."""

EXPOSURE_S = 2.0
"""A camera that gives no frame for this long after an exposure that tests whether it is back is reopened."""

UNKNOWN_EXPOSURE_NS = 500_000_000
"""Taken for the longest exposure of a line whose settings change the gain alone."""

LONGEST_BACKOFF_S = 0.5
"""Longest back-off of a camera: a camera that returns must be detected soon, however long it was away."""

LAST_DEATHS = 3
"""After this many deaths while opening the source, a stored source, or a camera that was never open, is given up: the
next attempt would fail too."""

POISON_DEATHS = 2
"""A picture on which the capture child died this often is reported as corrupt and skipped."""


class CaptureProcess:
    """The capture child. `receive` returns its captures in order. The slot of each is held once and must be
    returned with `release` as often as it was held.

    `dropped` counts the frames lost in the child because no slot was free, and the frames of a camera that has just
    returned: until it has given enough good frames in a row, they belong to no part.
    """

    def __init__(self, config: StationConfig) -> None:
        """The process starts with the first `supervise`."""
        self.child = Child("edge-capture", run_capture, self._arguments, LONGEST_BACKOFF_S, config.station)
        self.opened: Opened | None = None
        self.is_up = False
        self.has_ended = False
        self.dropped = 0
        self.cause: str | None = "the source is being opened"
        self.blind: Fault | None = None  # why no part can be found although frames arrive
        self._config = config
        self._ring: Ring | None = None
        self._busy: dict[int, int] = {}  # slots that hold frames, with the number of holders
        self._next_index = 0
        self._failure: str | None = None  # the message of its last Failed
        self._deaths = 0
        self._heard_ns = 0
        self._has_begun = False
        self._has_frames = False  # since the source was last opened
        self._to_resume = 0  # good frames that a returned camera still has to give
        self._exposed_ns: int | None = None  # time of the exposure that tests whether the camera is back
        self._presence = config.presence if config.trigger == "presence" else None
        self._remembered: Remembered | None = None  # last state of the finder of parts
        self._began_ns: int | None = None  # start of a simulated line that runs by the clock
        self._mark: Mark | None = None  # last picture of a watched folder
        self._exposure: ExposureSettings | None = None  # that the current product needs
        self._opened_with: ExposureSettings | None = None
        self._exposed = ExposureTimeline()
        self._refused: dict[ExposureSettings, str] = {}
        self._adjusting = 0  # number of the last Adjust

    def _arguments(
        self,
    ) -> tuple[
        SourceRequest, str | None, Path | None, float, Presence | None, Remembered | None, tuple[ExposureSettings, ...]
    ]:
        c = self._config
        name = self.opened.lasting_name if self.opened and self.opened.lasting_name else c.source
        every = c.policy == "every" or c.trigger != "free"
        is_lost = self.opened is not None and self.opened.device
        request = c.request(name, self._next_index, every, self._began_ns, is_lost, self._mark)
        exposures = [one.exposure for one in c.products if one.exposure not in (None, self._exposure)]
        if self._exposure is not None:
            own = {key: value for key, value in vars(self._exposure).items() if value is not None}
            request = replace(request, camera=replace(request.camera, **own))
        self._opened_with = self._exposure
        is_told = (c.camera.trigger or "").lower() == "software"  # then each frame belongs to a part
        policy = "latest" if c.trigger == "external" and not is_told else c.policy  # frames without a part are dropped
        policy = policy if self._presence is None else "every"  # every part
        every_one = tuple(one for one in (*exposures, self._exposure) if one is not None)
        return request, policy, c.envelope, c.stale_ms, self._presence, self._remembered, every_one

    def receive(self, most: int | None = None) -> Iterator[Captured]:
        """The captures since the last call, of at most `most` messages. Raises SourceError if the source cannot be
        opened at the first start.
        """
        try:
            for message in messages(self.child, most):
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
                    case Adjusted():
                        self._adjusted(message)
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
                        self._failure = message.message
        except EOFError:
            yield from self._lose(self._failure or "the capture process died")

    def begin(self) -> None:
        """Let the source begin. A free-running camera began when it was opened; earlier frames belong to no part."""
        if not self._has_begun:
            self._has_begun = True
            self._lend_all()

    @property
    def is_resuming(self) -> bool:
        """Whether the camera was lost, has returned, and still has to give good frames."""
        return self._to_resume > 0

    @property
    def exposes_when_told(self) -> bool:
        """Whether each frame must be requested with `expose`."""
        return self.opened is not None and self.opened.exposes_when_told

    def expose(self) -> bool:
        """Trigger an exposure. False if the camera is not available or has not begun."""
        may_expose = self.is_up and self._has_begun and not self.has_ended and self.exposes_when_told
        if may_expose:
            self.child.send(Expose())
        return may_expose

    def select_exposure(self, exposure: ExposureSettings | None) -> None:
        """Let the camera expose so from now on; None changes nothing."""
        if exposure is None or (exposure == self._exposure and exposure not in self._refused):
            return
        self._exposure = exposure
        if self.is_up:
            self._adjust()

    def exposure_at(self, captured_ns: int) -> ExposureSettings | None:
        """The exposure settings of a frame that arrived at `captured_ns`; None if they are not known for certain."""
        return self._exposed.at(captured_ns)

    @property
    def alarms(self) -> tuple[str, ...]:
        """That the camera refuses the exposure of the current product."""
        refusal = self._refused.get(self._exposure) if self._exposure is not None else None
        return () if refusal is None else (f"{refusal}: no part of this product can be judged",)

    def _adjust(self) -> None:
        assert self._exposure is not None
        self._exposed.leave(time.monotonic_ns())
        self._adjusting += 1
        self.child.send(Adjust(self._exposure, self._adjusting))

    def _adjusted(self, message: Adjusted) -> None:
        """Of a camera that is not triggered by this station, frames are passed over that may have begun before: the
        longest exposure of the line, and one frame more, whose exposure may overlap the transfer of the one before.
        """
        if message.number != self._adjusting:
            return
        if message.refusal is not None:
            self._refused[message.exposure] = message.refusal
            return
        self._refused.pop(message.exposure, None)
        passing_ns = 0 if self.exposes_when_told else 2 * self._longest_frame_ns()
        self._exposed.settle(message.exposure, message.at_ns + passing_ns)

    def _longest_frame_ns(self) -> int:
        line = self._config.camera.exposure_us
        exposures = [one.exposure.exposure_us or line for one in self._config.products if one.exposure is not None]
        known_us = [one for one in exposures if one is not None]
        longest_ns = UNKNOWN_EXPOSURE_NS if len(known_us) < len(exposures) else max(known_us) * 1e3
        rate = self._config.rate if isinstance(self._config.rate, float) else None
        return int(max(longest_ns, 1e9 / rate if rate else 0.0))

    def give_up(self, cause: str) -> None:
        """End the child for this reason; the camera is reopened."""
        for captured in self._lose(cause):
            self.release(captured.slot)

    def hold(self, slot: int) -> None:
        """Add a holder of the frame in this slot."""
        self._busy[slot] += 1

    def release(self, slot: int | None) -> None:
        """Remove a holder of the frame in this slot; after the last one the slot is free."""
        if slot is None:
            return
        self._busy[slot] -= 1
        if not self._busy[slot]:
            del self._busy[slot]
            self._lend(slot)

    @property
    def age_ms(self) -> float | None:
        """Milliseconds since the last message of a live source; None for a stored source, which waits for requests."""
        if self.opened is None or not self.opened.live or not self._has_begun:
            return None
        return (time.monotonic_ns() - self._heard_ns) / 1e6

    def memory(self, slot: int) -> str:
        """Name of a slot's shared memory."""
        assert self._ring is not None
        return self._ring.name(slot)

    def supervise(self) -> Iterator[Captured]:
        """Kill the child if it hangs; start it if it does not run and its restart is due."""
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
        """End the child, within `patience_s` seconds, and free the ring."""
        self.is_up = False
        self.child.stop(patience_s)
        if self._ring is not None:
            self._ring.close()

    def _open(self, opened: Opened) -> None:
        counts = self._config.trigger in ("free", "external")  # triggers whose captures are frames
        is_back = self.opened is not None and opened.live and opened.device and counts
        self.opened, self.is_up, self.cause, self._has_frames = opened, True, None, False
        if is_back and self._has_begun and self._config.resume_frames:
            self._to_resume = self._config.resume_frames
            self.cause = f"it is back and has yet to give {self._to_resume} good frames in a row"
        if self._ring is None:
            height, width = opened.shape or (1, 1)
            frames = 1 if self._presence is None else self._presence.frames
            has_few = not opened.live and self._presence is None  # several parts may be decided by one frame
            slots = STORED_SLOTS if has_few else SLOTS[opened.policy]
            slots += MOST_FRAMES if self._config.read_code is not None else 0
            slots += self._config.candidates is not None
            self._ring = Ring(slots, height * width * 3 * frames)
        self._exposed.begin(self._opened_with, time.monotonic_ns())
        if self._opened_with is not None:
            self._refused.pop(self._opened_with, None)
        if self._exposure != self._opened_with:
            self._adjust()
        self._has_begun |= opened.free_running and opened.device  # a simulated camera waits for `begin`
        self._lend_all()
        self._ask_to_resume()

    def _resume(self, captured: Captured) -> None:
        """Handle a frame of a returned camera: it belongs to no part, and counts as good or not."""
        self.release(captured.slot)
        self.dropped += 1
        self._to_resume = self._config.resume_frames if captured.fault else self._to_resume - 1
        if not self._to_resume:
            self.cause = None
        self._ask_to_resume()

    def _ask_to_resume(self) -> None:
        """Request the next test exposure from a camera that exposes on request, so that no part is lost for it."""
        self._exposed_ns = time.monotonic_ns() if self._to_resume and self.expose() else None

    def _lend_all(self) -> None:
        """Lend every slot without a frame to the capture child, if the source may begin."""
        self._heard_ns = time.monotonic_ns()
        for slot in range(len(self._ring) if self._ring else 0):
            if slot not in self._busy:
                self._lend(slot)

    def _enlarge(self, request: NeedsRoom) -> None:
        assert self._ring is not None
        refusal = None
        try:
            self._ring.enlarge(request.slot, request.size)
        except SourceError as error:  # one picture without a verdict must not end the line
            refusal = str(error)
        self._lend(request.slot, refusal)

    def _lend(self, slot: int, refusal: str | None = None) -> None:
        if self._ring is not None and self.is_up and self._has_begun and not self.has_ended:
            if len(self._busy) + 1 == len(self._ring):  # the child had no free slot until now
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
        """The parts decided by a frame. A message without parts still proves that frames arrive."""
        self._remembered, self.blind, self._began_ns = watched.remembered, watched.blind, watched.began_ns
        self._next_index = max(self._next_index, watched.position + 1)
        if self.opened is not None and self.opened.device:
            self._deaths, self._has_frames = 0, True
        return [self._take(part) for part in watched.parts]

    def _lose(self, cause: str) -> Iterator[Captured]:
        """Clean up after a child that is dead or hangs. A stored picture on which it died repeatedly is reported as a
        fault; a frame that is only searched for parts is skipped without a report.

        Raises SourceError if the source cannot be opened and further attempts are pointless.
        """
        self.child.kill()
        self._exposed.leave(time.monotonic_ns())
        self._to_resume, self._exposed_ns = 0, None
        if self.has_ended:  # the child had nothing more to do
            return
        was_up, self.is_up, self.cause, self._failure, self.blind = self.is_up, False, cause, None, None
        self._deaths += 1
        is_stored = self.opened is not None and not self.opened.device
        if not was_up and (self.opened is None or is_stored) and self._deaths >= LAST_DEATHS:
            raise SourceError(f"{self._config.source_name} cannot be opened: {cause}, {self._deaths} times")
        if was_up and is_stored and self._has_begun and self._deaths >= POISON_DEATHS:
            if self._presence is not None:  # a frame is not a part; continue with the next frame
                self._next_index, self._deaths, self.dropped = self._next_index + 1, 0, self.dropped + 1
                return
            now, position = time.monotonic_ns(), self._next_index
            fault = Fault(Reason.CORRUPT, f"the capture process died on it {self._deaths} times")
            yield self._take(Captured(None, position, f"#{position}", 0, 0, None, now, fault, None, 0))
