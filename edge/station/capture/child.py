"""The capture child: reads the source and writes each frame into the ring, once."""

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EdgeError
from edge.station import gc_tuning
from edge.station.capture.presence_capture import Room, watch
from edge.station.capture.trigger_reader import Inbox
from edge.station.process.messages import Captured, Ended, Failed, GiveSlot, NeedsRoom, Opened, Stop, Waiting
from edge.station.process.ring import Attached
from edge.text import printable

if TYPE_CHECKING:
    from edge.presence import Presence, Remembered
    from edge.sources import Capture, Frame, Source, SourceRequest


def run_capture(
    connection: Connection,
    request: "SourceRequest",
    policy: str | None,
    envelope: Path | None,
    stale_ms: float,
    presence: "Presence | None" = None,
    remembered: "Remembered | None" = None,
) -> None:
    """Work of the capture child; returns when told to stop or when the source cannot be read.

    `policy` None leaves the choice to the source: the latest frame of a free-running camera, every frame of all else.
    Live frames are asked for their truth, with the `envelope` of that file, stored ones whether they show
    anything. With `presence` the parts that pass are captured, each once, instead of frames; `remembered` is what the
    finder before this one knew.
    """
    from edge.pictures.blank import blank_reason
    from edge.sources import open_source
    from edge.station.capture.frame_checks import Envelope, FrameTruth

    try:
        truth = FrameTruth(None if envelope is None else Envelope.read(envelope), stale_ms)
        source = open_source(request)
    except EdgeError as error:
        connection.send(Failed(str(error)))
        return
    policy = policy or ("latest" if source.free_running else "every")
    connection.send(_opened(source, request, policy))
    told = getattr(source, "trigger", None) if getattr(source, "exposes_when_told", False) else None
    slots = _Slots(connection, Inbox(connection, told) if told else connection, waits=not source.live)
    slots.wait_for_first()
    gc_tuning.settle()
    if not source.live:
        os.nice(10)  # it reads ahead: a verdict on its way comes first
    try:
        if presence is not None:
            watch(source, truth, presence, remembered, slots, connection)
            return
        dropped, last = 0, request.start - 1
        for capture in _into_slots(source, slots):
            if capture is None:
                connection.send(Waiting())
                slots.listen()
                if slots.is_stopped:
                    return
                continue
            if source.live:
                dropped += max(0, capture.index - last - 1)  # the source itself passed over some
            last = capture.index
            slot = slots.take()
            if slots.is_stopped:
                return
            if slot is None and policy == "latest":
                dropped += 1
                continue
            if capture.frame is not None:
                doubt = truth.doubt(capture) if source.live else blank_reason(capture.frame)
                capture = capture if doubt is None else replace(capture, fault=doubt)
            connection.send(_store(capture, slot, slots, dropped))
            dropped = 0
        connection.send(Ended(dropped))
        slots.wait_for_stop()
    except EdgeError as error:
        connection.send(Failed(str(error)))
    finally:
        source.close()


def _into_slots(source: "Source", slots: "_Slots") -> "Iterator[Capture | None]":
    """The source's captures; one that decodes pictures does so in the slot that is filled next, if one is free and its
    frames have one size.
    """
    captures, decodes = source.captures(), hasattr(source, "room") and source.shape is not None
    while True:
        if decodes:
            source.room = slots.next_room(*source.shape)  # type: ignore[attr-defined,misc]
        try:
            capture = next(captures)
        except StopIteration:
            return
        yield capture


def _opened(source: "Source", request: "SourceRequest", policy: str) -> Opened:
    s = source
    return Opened(
        *(s.name, s.shape, s.length, s.live, s.free_running, s.simulated, policy, s.device),
        remarks=getattr(s, "remarks", ()),
        rate=getattr(s, "rate", None) or (None if request.rate == "file" else request.rate),
        lasting_name=getattr(s, "lasting_name", None),
        exposes_when_told=getattr(s, "exposes_when_told", False),
    )


class _Slots:
    """The slots this child may fill."""

    def __init__(self, connection: Connection, inbox: Connection | Inbox, waits: bool) -> None:
        self.is_stopped = False
        self._memory = Attached()
        self._connection, self._inbox, self._waits = connection, inbox, waits
        self._free: deque[GiveSlot] = deque()

    def wait_for_first(self) -> None:
        """Return when the supervisor has lent a slot: until then the source is not to begin."""
        while not self._free and not self.is_stopped:
            self._receive()

    def take(self) -> GiveSlot | None:
        """A free slot; None if there is none and the source is live, which nothing may hold up."""
        while self._inbox.poll() or (self._waits and not self._free):
            self._receive()
            if self.is_stopped:
                return None
        return self._free.popleft() if self._free else None

    def next_room(self, height: int, width: int) -> "Frame | None":
        """The memory that `take` gives next, as a frame; None if no slot is free, or it is too small."""
        if not self._free or self._free[0].capacity < height * width * 3:
            return None
        try:
            return self._memory.frame(self._free[0].memory, height, width)
        except OSError:
            return None

    def listen(self) -> None:
        """Take in what the supervisor has said."""
        while self._inbox.poll() and not self.is_stopped:
            self._receive()

    def room(self, slot: GiveSlot, height: int, width: int) -> Room:
        """The memory of a slot as a frame, of another one if it is too small."""
        size = height * width * 3
        larger = self._enlarge(slot, size) if size > slot.capacity else slot
        if larger is None or larger.capacity < size:
            return Room(larger, None, larger and f"overload: {larger.refusal}")
        try:
            return Room(larger, self._memory.frame(larger.memory, height, width))
        except OSError as error:
            return Room(larger, None, f"overload: the memory for the frame cannot be mapped: {error.strerror}")

    def _enlarge(self, slot: GiveSlot, size: int) -> GiveSlot | None:
        """Exchange a slot for one of at least `size` bytes; None if told to stop meanwhile.

        Where there is no memory for it, the slot comes back as it was, with a `refusal`.
        """
        self._connection.send(NeedsRoom(slot.slot, size))
        while not self.is_stopped:
            larger = self._receive()
            if larger is not None and larger.slot == slot.slot:
                self._free.remove(larger)
                return larger
        return None

    def wait_for_stop(self) -> None:
        """Return when the supervisor says so."""
        while not self.is_stopped:
            self._receive()

    def _receive(self) -> GiveSlot | None:
        message = self._inbox.recv()
        if isinstance(message, Stop):
            self.is_stopped = True
            return None
        self._free.append(message)
        return message if isinstance(message, GiveSlot) else None


def _store(capture: "Capture", slot: GiveSlot | None, slots: _Slots, dropped: int) -> Captured:
    """Copy the frame into its slot, where it was not decoded there; no other copy is made on its way to the runtime."""
    height = width = 0
    fault = capture.fault
    if slot is None and fault is None:
        fault = "overload: every slot of the ring is taken"
    elif capture.frame is not None and slot is not None:
        slot, memory, refusal = slots.room(slot, *capture.frame.shape[:2])
        fault = refusal or fault
        if memory is not None:
            height, width = capture.frame.shape[:2]
            if memory.ctypes.data != capture.frame.ctypes.data:
                memory[...] = capture.frame
    return Captured(
        slot=None if slot is None else slot.slot,
        position=capture.index,
        name=_name(capture.name),
        height=height,
        width=width,
        captured_ns=capture.captured_ns,
        in_ring_ns=time.monotonic_ns(),
        fault=fault,
        truth=capture.truth,
        dropped=dropped,
        mark=capture.mark,
    )


def _name(name: str) -> str:
    """A name that travels as JSON and shows on a terminal: a file's name need not be UTF-8, nor free of escapes."""
    return printable(os.fsencode(name).decode(errors="backslashreplace"))
