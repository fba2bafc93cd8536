"""The viewers' socket, in a thread of its own and on an I/O thread of its own: what a viewer sends holds up no verdict.

ZeroMQ enters each subscription into its table while a message is sent, however many there are. A flood of them is this
thread's affair.
"""

import os
import queue
import threading
import time
from contextlib import suppress
from typing import NamedTuple

import zmq

from edge.channel.access_control import Doorkeeper
from edge.channel.connections import is_open
from edge.channel.limits import MOST_PREVIEW_BYTES, MOST_PREVIEW_SUBSCRIPTIONS, PUBLISHED_WAITING
from edge.channel.preview import PREVIEWS
from edge.channel.preview_waiting import Peer, PreviewsWaiting, StalledViewers

_LAST_WORDS_S = 0.5
_NOTES_S = 0.1
_BUSY = 16
"""Messages that wait, from which on previews are dropped."""

_PREVIEWS = f"{PREVIEWS}/".encode()


def change(note: zmq.Frame) -> int:
    """By how many subscriptions a note of an XPUB socket changes those of its peer: 1, -1, or 0 for no such note."""
    return {b"\1": 1, b"\0": -1}.get(note.bytes[:1], 0)


class _Subscription(NamedTuple):
    """A connection, by descriptor and inode, and a topic to which it subscribes."""

    descriptor: int
    inode: int
    topic: bytes


class PreviewSubscriptions:
    """Which connections subscribe to previews now, as ZeroMQ has them: once each, however often they say it; and
    whether any subscriber is there.

    An XPUB socket reports a repeated subscription again, its end only once, and an end that had no beginning, too. The
    end by a disconnection is reported without its connection: `sweep` finds those.
    """

    SWEEP_S = 0.5

    def __init__(self) -> None:
        """There are none."""
        self._open: set[_Subscription] = set()
        self._wider: set[_Subscription] = set()  # to everything, or to another beginning of the topic of previews
        self._present: set[Peer] = set()  # connections that have subscribed to anything
        self._sweep_due = 0.0

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self._open)

    @property
    def is_anybody_there(self) -> bool:
        """Whether a connection that has subscribed to anything may be open."""
        return bool(self._present)

    def note(self, note: zmq.Frame) -> None:
        """Take in what the XPUB socket reports."""
        by, topic = change(note), note.bytes[1:]
        if not by:
            return
        try:
            descriptor = int(note.get(zmq.SRCFD))
            one = _Subscription(descriptor, os.fstat(descriptor).st_ino, topic)
        except (zmq.ZMQError, ValueError, OSError):  # the connection has ended
            return
        self._present.add((one.descriptor, one.inode))
        if not (topic.startswith(_PREVIEWS) or _PREVIEWS.startswith(topic)):
            return
        those = self._open if topic.startswith(_PREVIEWS) else self._wider
        if by < 0:
            those.discard(one)
        elif len(those) < MOST_PREVIEW_SUBSCRIPTIONS:
            those.add(one)

    def sweep(self) -> None:
        """Remove those whose connections have ended, twice a second at most."""
        if self._present and time.monotonic() >= self._sweep_due:
            self._sweep_due = time.monotonic() + self.SWEEP_S
            self._present = {peer for peer in self._present if is_open(*peer)}
            self._open = {one for one in self._open if is_open(one.descriptor, one.inode)}
            self._wider = {one for one in self._wider if is_open(one.descriptor, one.inode)}

    @property
    def peers(self) -> set[Peer]:
        """The connections to which a preview is sent."""
        return {(one.descriptor, one.inode) for one in self._open | self._wider}


class Viewers:
    """Publishes on a bound XPUB socket what it is given. Giving never blocks."""

    def __init__(self, socket: "zmq.Socket[bytes]", doorkeeper: Doorkeeper | None) -> None:
        """The socket is this object's from now on."""
        self.failure: Exception | None = None
        self._previews = PreviewSubscriptions()
        self._socket, self._doorkeeper = socket, doorkeeper
        self._waiting, self._stalled = PreviewsWaiting(socket), StalledViewers()
        self._given: queue.Queue[list[bytes]] = queue.Queue(PUBLISHED_WAITING)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._publish, name="edge-viewers", daemon=True)
        self._thread.start()

    def send(self, frames: list[bytes]) -> None:
        """Publish one message, if anybody is there. It is lost to the viewers, as a gap, if those before it wait."""
        if self._previews.is_anybody_there:
            with suppress(queue.Full):
                self._given.put_nowait(frames)

    @property
    def wants_previews(self) -> bool:
        """Whether somebody subscribes to previews: to their topic, not merely to everything."""
        return bool(self._previews)

    def send_preview(self, frames: list[bytes]) -> None:
        """Publish a preview, or drop it if other messages wait."""
        if self._given.qsize() < _BUSY:
            self.send(frames)

    def close(self) -> None:
        """Send what is queued, for half a second at most once the context is terminated."""
        self._is_over.set()
        self._thread.join(_LAST_WORDS_S)

    def _publish(self) -> None:
        try:
            while not (self._is_over.is_set() and self._given.empty()):
                with suppress(queue.Empty):
                    frames = self._given.get(timeout=_NOTES_S)
                    if frames[0].startswith(_PREVIEWS):
                        self._waiting.send(frames)
                    else:
                        self._socket.send_multipart(frames, zmq.NOBLOCK)
                self._take_notes()
                self._end_stalled()
        except Exception as error:  # of the context too, where it is terminated before this thread has ended
            self.failure = error
        finally:
            self._socket.close()  # a context waits for its sockets

    def _end_stalled(self) -> None:
        """Cut the viewers that read nothing, if half of the memory for previews waits: the others get no more soon."""
        if self._doorkeeper is None or self._waiting.size <= MOST_PREVIEW_BYTES // 2:
            return
        for descriptor, inode in self._stalled.found(self._previews.peers):
            self._doorkeeper.connections.exceed_at(descriptor, inode, "memory", "it does not read its previews")

    def _take_notes(self) -> None:
        """Who came and went: the doorkeeper learns whose connection is whose."""
        self._previews.sweep()
        with suppress(zmq.Again):
            for _ in range(PUBLISHED_WAITING):
                note = self._socket.recv(zmq.NOBLOCK, copy=False)
                self._previews.note(note)
                if self._doorkeeper is not None:
                    self._doorkeeper.met(note, change(note))
