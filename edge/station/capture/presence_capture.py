"""Capture with the trigger `presence`: watches a free-running camera and reports each part once."""

import time
from typing import TYPE_CHECKING

from edge.presence import Presence, Remembered
from edge.station.process.message_socket import MessageSocket
from edge.station.process.messages import Ended, Watched

if TYPE_CHECKING:
    from edge.presence.finder import Finder, Passed
    from edge.sources import Source
    from edge.station.capture.frame_checks import FrameChecks
    from edge.station.capture.slots import Slots

SIGN_OF_LIFE_S = 0.1


def watch(
    source: "Source",
    checks: "FrameChecks",
    presence: Presence,
    remembered: Remembered | None,
    slots: "Slots",
    connection: MessageSocket,
) -> None:
    """Pass every frame to the finder and report the parts found, until the source ends or the supervisor sends Stop.

    The finder's state, which its successor needs, is sent with each part, whenever a part enters or leaves, and at
    least every SIGN_OF_LIFE_S.
    """
    from edge.presence.finder import Finder

    finder = Finder(presence, remembered)
    said_s, said, position = 0.0, None, -1
    for capture in source.captures():
        passed = []
        if capture is not None:
            position = capture.index
            looks = source.live and capture.frame is not None and capture.fault is None
            passed = finder.see(capture, checks.check(capture) if looks else None)
        now = finder.blind, [id(track) for track in finder.tracks]
        if passed or now != said or time.monotonic() - said_s > SIGN_OF_LIFE_S:
            said_s, said = time.monotonic(), now
            _pass_on(passed, position, finder, slots, connection, source.began_ns)
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
    slots: "Slots",
    connection: MessageSocket,
    began_ns: int | None = None,
) -> None:
    """Report the parts decided by the frame at `position`; a reopened source continues after that frame."""
    parts = []
    for one in passed:
        slot = slots.take() if one.fault is None else None
        if slots.is_stopped:
            return
        parts.append(slots.store_part(one, position, slot))
    connection.send(Watched(tuple(parts), finder.remember(), position, finder.blind, began_ns))
