"""A preview crosses the socket to the supervisor in pieces, for none of which the supervisor waits."""

import multiprocessing as mp
import os
import signal
import socket as sockets
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from support.records import until, verdict

from edge.station.archive.child import _preview
from edge.station.previews import Previews
from edge.station.process.message_socket import PIECE, MessageSocket, pair
from edge.station.process.messages import Depicted
from edge.station.process.wire import MORE

NOISE = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
"""A frame whose JPEG is as large as a message may be."""


def send_then_stop(end: MessageSocket) -> None:
    """Send a preview and stop, as a process that hangs, after each packet."""

    class Halting:
        def __init__(self, inner: sockets.socket) -> None:
            self._inner = inner

        def send(self, packet: bytes) -> None:
            self._inner.send(packet)
            os.kill(os.getpid(), signal.SIGSTOP)

    end._socket = Halting(end._socket)  # type: ignore[assignment]
    for piece in _preview("ab12", 7, NOISE):
        end.send(piece)


def is_stopped(process: Any) -> bool:
    """Whether a signal has stopped the process."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_an_archive_process_that_stops_amid_a_preview_never_leaves_half_a_message() -> None:
    here, there = pair()
    process = mp.get_context("fork").Process(target=send_then_stop, args=(there,))
    process.start()
    there.close()
    pieces: list[Depicted] = []
    try:
        while not (pieces and pieces[-1].is_last):
            until(lambda: is_stopped(process))
            assert here.poll(0)
            whole = whole_message(here)
            assert whole is not None, "half a message is there: the supervisor would wait for its rest"
            pieces.append(whole)
            os.kill(process.pid or 0, signal.SIGCONT)
    finally:
        process.kill()
        process.join()
    assert len(pieces) > 2
    assert b"".join(piece.jpeg for piece in pieces).endswith(b"\xff\xd9")


def whole_message(end: MessageSocket) -> Depicted | None:
    """The message in the socket; None if its packet is a piece of a longer one."""
    with sockets.socket(fileno=os.dup(end.fileno())) as peeking:
        packet = peeking.recv(PIECE, sockets.MSG_PEEK | sockets.MSG_DONTWAIT)
    if packet.startswith(MORE):
        return None
    message = end.recv()
    assert isinstance(message, Depicted)
    return message


def test_a_picture_that_broke_off_is_dropped_and_the_next_one_is_whole() -> None:
    published: list[tuple[int, bytes]] = []
    publisher: Any = SimpleNamespace(
        wants_previews=True, send_preview=lambda about, jpeg: published.append((about.seq, jpeg))
    )
    previews = Previews(publisher)
    for seq in (1, 2, 3):
        previews.begin(verdict(seq), 360, 640, None)
    previews.publish(Depicted("ab12", 1, b"a", is_last=False))  # its process ends here
    for seq, number, is_last in ((2, 1, False), (2, 2, True), (3, 1, True), (9, 1, True)):
        previews.publish(Depicted("ab12", seq, b"%d.%d " % (seq, number), is_last))
    assert published == [(2, b"2.1 2.2 "), (3, b"3.1 ")], "one that nobody asked for is no preview"
