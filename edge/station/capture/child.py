"""The capture child: reads the source and copies each frame into the ring once."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EdgeError
from edge.station import gc_tuning
from edge.station.capture.presence_capture import watch
from edge.station.capture.slots import Slots
from edge.station.capture.trigger_reader import Inbox
from edge.station.process.message_socket import MessageSocket
from edge.station.process.messages import Adjust, Adjusted, Ended, Failed, Opened, Waiting

if TYPE_CHECKING:
    from edge.presence import Presence, Remembered
    from edge.sources import Capture, ExposureSettings, Source, SourceRequest
    from edge.verdict import Fault


def run_capture(
    connection: MessageSocket,
    request: "SourceRequest",
    policy: str | None,
    envelope: Path | None,
    stale_ms: float,
    presence: "Presence | None" = None,
    remembered: "Remembered | None" = None,
    exposures: "tuple[ExposureSettings, ...]" = (),
) -> None:
    """Main function of the capture child; returns after `Stop`, or when the source cannot be read.

    `policy` None depends on the source: the latest frame of a free-running camera, every frame of any other source.
    Frames of a live source pass the frame checks, with the `envelope` of that file; stored pictures are checked for
    being blank. `stale_ms` is the maximum age of a live frame. With `presence` the passing parts are captured, each
    once, instead of frames; `remembered` is the state of the previous finder. `exposures` are those that the line's
    products need, the current one last; a camera that refuses one is not opened.
    """
    from edge.sources import open_source
    from edge.station.capture.envelope import Envelope
    from edge.station.capture.frame_checks import FrameChecks

    try:
        checks = FrameChecks(stale_ms, None if envelope is None else Envelope.read(envelope))
        source = open_source(request)
        taken = {one: source.adjust(one) for one in exposures}
        source.remarks += tuple(remark for remarks in taken.values() for remark in remarks)
    except EdgeError as error:
        connection.send(Failed(str(error)))
        return
    policy = policy or ("latest" if source.free_running else "every")
    connection.send(_opened(source, request, policy))
    is_told = source.exposes_when_told or exposures
    inbox = Inbox(connection, source.trigger, partial(_adjust, source, taken)) if is_told else connection
    slots = Slots(connection, inbox, waits=not source.live)
    slots.wait_for_first()
    gc_tuning.freeze()
    if not source.live:
        os.nice(10)  # it reads ahead, and verdicts have priority
    try:
        if presence is not None:
            watch(source, checks, presence, remembered, slots, connection)
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
                dropped += max(0, capture.index - last - 1)  # frames that the source itself skipped
            last = capture.index
            slot = slots.take()
            if slots.is_stopped:
                return
            if slot is None and policy == "latest":
                dropped += 1
                continue
            connection.send(slots.store(capture, slot, dropped, checks.look if source.live else _look_for_content))
            dropped = 0
        connection.send(Ended(dropped))
        slots.wait_for_stop()
    except EdgeError as error:
        connection.send(Failed(str(error)))
    finally:
        source.close()


def _into_slots(source: "Source", slots: Slots) -> "Iterator[Capture | None]":
    """The source's captures. A source that decodes pictures decodes into the next slot, if a slot is free and all its
    frames have one size.
    """
    captures = source.captures()
    while True:
        if source.decodes and source.shape is not None:
            source.room = slots.next_room(*source.shape)
        try:
            capture = next(captures)
        except StopIteration:
            return
        yield capture


def _look_for_content(capture: "Capture") -> "tuple[Fault | None, None]":
    """Whether a stored picture is blank."""
    from edge.pictures.blank import blank_fault

    assert capture.frame is not None
    return blank_fault(capture.frame), None


def _adjust(source: "Source", taken: "dict[ExposureSettings, tuple[str, ...]]", wanted: Adjust) -> Adjusted:
    """Change the exposure. `taken` is what the camera changed of each when it was opened; another change while it runs
    means that it does not expose so.
    """
    refusal = None
    try:
        remarks = source.adjust(wanted.exposure)
        if remarks != taken[wanted.exposure]:
            refusal = "; ".join(remarks) or f"{source.name} took another exposure than when it was opened"
    except EdgeError as error:
        refusal = str(error)
    return Adjusted(wanted.exposure, wanted.number, time.monotonic_ns(), refusal)


def _opened(source: "Source", request: "SourceRequest", policy: str) -> Opened:
    s = source
    return Opened(
        *(s.name, s.shape, s.length, s.live, s.free_running, s.simulated, policy, s.device),
        remarks=s.remarks,
        rate=s.rate or (None if request.rate == "file" else request.rate),
        lasting_name=s.lasting_name,
        exposes_when_told=s.exposes_when_told,
    )
