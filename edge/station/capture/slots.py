"""The slots of the frame ring that the capture child may fill; only this module writes into them."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from edge.station.capture.trigger_reader import Inbox
from edge.station.process.message_socket import MessageSocket
from edge.station.process.messages import Adjusted, Captured, GiveSlot, NeedsRoom, Stop
from edge.station.process.ring import Attached
from edge.text import printable
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    from edge.frame import Frame
    from edge.pictures.blank import Sampled
    from edge.presence.finder import Passed
    from edge.sources import Capture


Check: TypeAlias = "Callable[[Capture], tuple[Fault | None, Sampled | None]]"
"""Looks at a capture's frame: why it must not be judged, and what was measured of a live frame."""


class Room(NamedTuple):
    """Memory for a frame in `slot`. Without memory `fault` gives the reason, or both are None: the child must stop."""

    slot: GiveSlot | None
    frame: "Frame | None"
    fault: Fault | None = None


class Slots:
    """The slots that the capture child may fill, and its receiver of the supervisor's messages."""

    def __init__(self, connection: MessageSocket, inbox: MessageSocket | Inbox, waits: bool) -> None:
        self.is_stopped = False
        self._memory = Attached()
        self._connection, self._inbox, self._waits = connection, inbox, waits
        self._free: list[GiveSlot] = []  # the slot freed last is used first: its memory is still in the cache
        self._next: GiveSlot | None = None  # into which the source may decode

    def wait_for_first(self) -> None:
        """Return when the supervisor has lent a slot; the source must not begin before."""
        while not self._has_free and not self.is_stopped:
            self._receive()

    def take(self) -> GiveSlot | None:
        """A free slot; None if there is none and the source is live, which must not be delayed."""
        while self._inbox.poll() or (self._waits and not self._has_free):
            self._receive()
            if self.is_stopped:
                return None
        slot, self._next = self._next, None
        return slot or (self._free.pop() if self._free else None)

    @property
    def _has_free(self) -> bool:
        return bool(self._free) or self._next is not None

    def next_room(self, height: int, width: int) -> "Frame | None":
        """The memory of the slot that `take` returns next, as a frame; None if no slot is free or it is too small."""
        if self._next is None and self._free:
            self._next = self._free.pop()
        if self._next is None or self._next.capacity < height * width * 3:
            return None
        try:
            return self._memory.frame(self._next.memory, height, width)
        except OSError:
            return None

    def listen(self) -> None:
        """Handle the supervisor's pending messages."""
        while self._inbox.poll() and not self.is_stopped:
            self._receive()

    def _room(self, slot: GiveSlot, height: int, width: int) -> Room:
        """The memory of a slot as a frame; exchanged for a larger one if it is too small."""
        size = height * width * 3
        larger = self._enlarge(slot, size) if size > slot.capacity else slot
        if larger is None or larger.capacity < size:
            return Room(larger, None, larger and Fault(Reason.OVERLOAD, f"{larger.refusal}"))
        try:
            return Room(larger, self._memory.frame(larger.memory, height, width))
        except OSError as error:
            return Room(
                larger, None, Fault(Reason.OVERLOAD, f"the memory for the frame cannot be mapped: {error.strerror}")
            )

    def _enlarge(self, slot: GiveSlot, size: int) -> GiveSlot | None:
        """Exchange a slot for one of at least `size` bytes; None if Stop arrives meanwhile.

        If there is no memory for it, the slot comes back unchanged, with a `refusal`.
        """
        self._connection.send(NeedsRoom(slot.slot, size))
        while not self.is_stopped:
            larger = self._receive()
            if larger is not None and larger.slot == slot.slot:
                self._free.remove(larger)
                return larger
        return None

    def store(self, capture: "Capture", slot: GiveSlot | None, dropped: int, check: Check) -> Captured:
        """Copy the frame of a capture into its slot, unless the source decoded it there. This is the only copy of a
        frame on its way to the runtime. `check` looks at the copy, which is in the processor's cache.
        """
        frames = [] if capture.frame is None else [capture.frame]
        slot, shape, fault = self._fill(slot, frames, capture.fault)
        seen = None
        if capture.frame is not None:
            is_stored = slot is not None and shape != (0, 0)
            frame = self._memory.frame(slot.memory, *shape) if slot is not None and is_stored else capture.frame
            found, seen = check(replace(capture, frame=frame))
            fault = found or fault
        return Captured(
            slot=None if slot is None else slot.slot,
            position=capture.index,
            name=_name(capture.name),
            height=shape[0],
            width=shape[1],
            captured_ns=capture.captured_ns,
            in_ring_ns=time.monotonic_ns(),
            fault=fault,
            truth=capture.truth,
            dropped=dropped,
            mark=capture.mark,
            seen=None if seen is None else (seen.brightness, seen.sharpness),
        )

    def store_part(self, passed: "Passed", position: int, slot: GiveSlot | None) -> Captured:
        """Copy the frames of a part into its slot, stacked vertically, the best centred frame on top."""
        frames = [capture.frame for capture in passed.captures if capture.frame is not None]
        slot, shape, fault = self._fill(slot, frames, passed.fault)
        return Captured(
            slot=None if slot is None else slot.slot,
            position=position,
            name=passed.shown.name if passed.shown else f"part {passed.number}",
            height=shape[0],
            width=shape[1],
            captured_ns=passed.captures[0].captured_ns,
            in_ring_ns=time.monotonic_ns(),
            fault=fault,
            truth=passed.shown.truth if passed.shown else None,
            dropped=0,
            frames=len(passed.captures),
        )

    def _fill(
        self, slot: GiveSlot | None, frames: "Sequence[Frame]", fault: Fault | None
    ) -> tuple[GiveSlot | None, tuple[int, int], Fault | None]:
        """The slot with the frames, which share one shape; (height, width) of each, or zeros; the fault, if any."""
        if slot is None and fault is None:
            return None, (0, 0), Fault(Reason.OVERLOAD, "every slot of the ring is taken")
        if slot is None or not frames:
            return slot, (0, 0), fault
        height, width = frames[0].shape[:2]
        slot, memory, refusal = self._room(slot, len(frames) * height, width)
        if memory is None:
            return slot, (0, 0), refusal or fault
        for number, frame in enumerate(frames):
            place = memory[number * height : (number + 1) * height]
            if place.ctypes.data != frame.ctypes.data:
                copy_frame(place, frame)
        return slot, (height, width), fault

    def wait_for_stop(self) -> None:
        """Return when the supervisor has sent Stop."""
        while not self.is_stopped:
            self._receive()

    def _receive(self) -> GiveSlot | None:
        message = self._inbox.recv()
        if isinstance(message, Stop):
            self.is_stopped = True
            return None
        if isinstance(message, Adjusted):
            self._connection.send(message)
            return None
        self._free.append(message)
        return message if isinstance(message, GiveSlot) else None


def copy_frame(place: "Frame", frame: "Frame") -> None:
    """Copy a frame into its place."""
    place[...] = frame


def _name(name: str) -> str:
    """A name fit for JSON and terminals: a file's name may be invalid UTF-8 or contain escape sequences."""
    return printable(os.fsencode(name).decode(errors="backslashreplace"))
