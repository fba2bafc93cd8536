"""The memory of previews that wait for viewers, over all viewers together, and the viewers that do not read them.

ZeroMQ has one queue per connection and no limit over all of them. pyzmq reports when ZeroMQ has released the memory of
a message, so that the bytes which still wait for anybody are known.
"""

import select
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress

import zmq

from edge.channel.limits import MOST_PREVIEW_BYTES, PREVIEW_LOOK_S, PREVIEW_LOOKS

Peer = tuple[int, int]
"""A connection, by descriptor and inode."""


class PreviewsWaiting:
    """Sends previews on a socket while those that wait for any viewer have at most MOST_PREVIEW_BYTES together."""

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        """Nothing waits."""
        self._socket = socket
        self._waiting: deque[tuple[zmq.MessageTracker, int]] = deque()

    @property
    def size(self) -> int:
        """Bytes of the previews that ZeroMQ has not released."""
        self._waiting = deque(one for one in self._waiting if not one[0].done)
        return sum(size for _, size in self._waiting)

    def send(self, frames: list[bytes]) -> None:
        """Send a preview, or drop it for all viewers if too much waits."""
        size = sum(map(len, frames))
        if self.size + size > MOST_PREVIEW_BYTES:
            return
        *before, picture = frames
        shared = zmq.Frame(picture, track=True, copy=False)  # the other frames are copied; all are released together
        self._socket.send_multipart([*before, shared], zmq.NOBLOCK, copy=False)
        if isinstance(shared.tracker, zmq.MessageTracker):
            self._waiting.append((shared.tracker, size))


class StalledViewers:
    """Finds the connections that read nothing: the kernel takes no byte for them at several looks in succession."""

    def __init__(self) -> None:
        """None is known."""
        self._looks: dict[Peer, int] = {}
        self._look_due = 0.0

    def found(self, peers: Iterable[Peer]) -> Iterator[Peer]:
        """Those of `peers` that have read nothing at the last PREVIEW_LOOKS looks. Looks every PREVIEW_LOOK_S."""
        now = time.monotonic()
        if now < self._look_due:
            return
        self._look_due = now + PREVIEW_LOOK_S
        self._looks = {peer: self._looks.get(peer, 0) + 1 for peer in peers if not _takes_bytes(peer[0])}
        for peer in [peer for peer, looks in self._looks.items() if looks >= PREVIEW_LOOKS]:
            del self._looks[peer]
            yield peer


def _takes_bytes(descriptor: int) -> bool:
    """Whether the kernel has room for more bytes to this connection, or the connection has ended."""
    poll = select.poll()
    with suppress(OSError, ValueError):
        poll.register(descriptor, select.POLLOUT)
        return bool(poll.poll(0))
    return True
