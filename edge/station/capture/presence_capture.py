"""The capture child's work with the trigger `presence`: it watches the camera and passes on each part once."""

import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NamedTuple, Protocol

from edge.presence import Presence, Remembered
from edge.station.process.messages import Captured, Ended, GiveSlot, Watched

if TYPE_CHECKING:
    from edge.presence.finder import Finder, Passed
    from edge.sources import Frame, Source
    from edge.station.capture.frame_checks import FrameTruth

SIGN_OF_LIFE_S = 0.1


class Room(NamedTuple):
    """Memory for a frame in `slot`. Without memory `fault` says why, or both are None: the child was told to stop."""

    slot: GiveSlot | None
    frame: "Frame | None"
    fault: str | None = None


class Slots(Protocol):
    """The slots that may be filled, as the capture child has them."""

    is_stopped: bool

    def take(self) -> GiveSlot | None:
        """A free slot; None if there is none and the source is live, or if told to stop."""
        ...

    def listen(self) -> None:
        """Take in what the supervisor has said."""
        ...

    def room(self, slot: GiveSlot, height: int, width: int) -> Room:
        """The memory of a slot as a frame, of another one if it is too small."""
        ...

    def wait_for_stop(self) -> None:
        """Return when the supervisor says so."""
        ...


def watch(
    source: "Source",
    truth: "FrameTruth",
    presence: Presence,
    remembered: Remembered | None,
    slots: Slots,
    connection: Connection,
) -> None:
    """Show every frame to the finder and pass on what it finds, until the source ends or the supervisor says stop.

    What a finder that takes over must know goes with each part, whenever a part comes or goes, and as a sign of life.
    """
    from edge.presence.finder import Finder

    finder = Finder(presence, remembered)
    said_s, said, position = 0.0, None, -1
    for capture in source.captures():
        passed = []
        if capture is not None:
            position = capture.index
            looks = source.live and capture.frame is not None and capture.fault is None
            passed = finder.see(capture, truth.doubt(capture) if looks else None)
        now = finder.blind, [id(track) for track in finder.tracks]
        if passed or now != said or time.monotonic() - said_s > SIGN_OF_LIFE_S:
            said_s, said = time.monotonic(), now
            _pass_on(passed, position, finder, slots, connection, getattr(source, "began_ns", None))
        slots.listen()
        if slots.is_stopped:
            return
    _pass_on(finder.finish(), position, finder, slots, connection)
    connection.send(Ended(0))
    slots.wait_for_stop()


def _pass_on(
    passed: "list[Passed]",
    position: int,
    finder: "Finder",
    slots: Slots,
    connection: Connection,
    began_ns: int | None = None,
) -> None:
    """Hand over the parts that the frame `position` decided, behind which a new source begins."""
    parts = []
    for one in passed:
        slot = slots.take() if one.fault is None else None
        if slots.is_stopped:
            return
        parts.append(_store(one, position, slot, slots))
    connection.send(Watched(tuple(parts), finder.remember(), position, finder.blind, began_ns))


def _store(passed: "Passed", position: int, slot: GiveSlot | None, slots: Slots) -> Captured:
    """Copy the part's frames into its slot, one below the other, the best centred one on top."""
    height = width = 0
    fault, best = passed.fault, passed.captures[0]
    if fault is None and slot is None:
        fault = "overload: every slot of the ring is taken"
    elif fault is None and slot is not None:
        frames = [capture.frame for capture in passed.captures if capture.frame is not None]
        rows, columns = frames[0].shape[:2]
        slot, memory, fault = slots.room(slot, len(frames) * rows, columns)
        if memory is not None:
            height, width = rows, columns
            for number, frame in enumerate(frames):
                memory[number * height : (number + 1) * height] = frame
    return Captured(
        slot=None if slot is None else slot.slot,
        position=position,
        name=passed.shown.name if passed.shown else f"part {passed.number}",
        height=height,
        width=width,
        captured_ns=best.captured_ns,
        in_ring_ns=time.monotonic_ns(),
        fault=fault,
        truth=passed.shown.truth if passed.shown else None,
        dropped=0,
        frames=len(passed.captures),
    )
