"""Exchange between the loop of edge-plc and the threads of its fieldbuses: images out, writes of the PLC in.

Neither side waits for the other: an image is replaced as a whole, a write is put into a queue.
"""

import contextlib
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from edge.plc.process_image import Readable, Written
from edge.plc.registers import WRITTEN_AT, Words, base, head_words, pack

MOST_WRITES = 1_000
"""Writes that wait for the loop; the oldest is dropped, as a PLC that writes faster overwrites its own registers. The
loop takes as many at once, within some 50 ms, before it hears the station again."""

HUNG_NS = 1_000_000_000
"""Age from which an image is no longer shown as the present state. The loop shows one each 20 ms."""


class Board:
    """Images of the stations in their order, and the writes that wait for the loop."""

    def __init__(self, stations: int) -> None:
        """Start with images whose words are all 0."""
        self.bridge_alive = 0
        self._images = [(Readable(), 0)] * stations  # with the local time at which the loop showed it
        self._packed: list[tuple[Readable, Words]] = [(image, pack(image)) for image, _ in self._images]
        self._writes: deque[tuple[int, Written]] = deque(maxlen=MOST_WRITES)
        self.wake, self._waker = socket.socketpair()
        self.wake.setblocking(False)
        self._waker.setblocking(False)

    @property
    def stations(self) -> int:
        """Number of stations."""
        return len(self._images)

    # --------------------------------------------------------------------------------------------------- the loop

    def show(self, station: int, image: Readable) -> None:
        """Let the buses serve this image of a station from now on."""
        self._images[station] = image, time.monotonic_ns()

    def writes(self) -> Iterator[tuple[int, Written]]:
        """Writes of the PLC up to this call, with the station's index, in order: later ones wait for the next call, so
        that a PLC that writes without a pause does not hold up the loop.
        """
        with contextlib.suppress(BlockingIOError):
            self.wake.recv(4096)
        for _ in range(len(self._writes)):
            yield self._writes.popleft()

    def close(self) -> None:
        """Close the sockets; the buses must have ended."""
        self.wake.close()
        self._waker.close()

    # --------------------------------------------------------------------------------------------------- the buses

    def image(self, station: int) -> Readable:
        """The image of a station now. If the loop hangs, its pass bit falls at its time, and HUNG_NS after the last
        `show` the station counts as not heard: state 0, not ready, no triggers.
        """
        (image, shown_ns), now_ns = self._images[station], time.monotonic_ns()
        image = image.at(now_ns)
        is_hung = now_ns - shown_ns >= HUNG_NS
        return replace(image, state=0, ready=False, trigger_ready=False) if is_hung else image

    def words(self, address: int, count: int) -> Words:
        """The registers that the PLC reads, from `address` on; 0 where there is none, and where the PLC writes."""
        found = [0] * count
        _copy(found, address, 0, head_words(self.stations, self.bridge_alive))
        for station in range(self.stations):
            start = base(station)
            if start < address + count and address < start + WRITTEN_AT:
                _copy(found, address, start, self._words_of(station))
        return found

    def _words_of(self, station: int) -> Words:
        packed, image = self._packed[station], self.image(station)
        if packed[0] is not image:
            packed = self._packed[station] = image, pack(image)
        return packed[1]

    def write(self, station: int, written: Written) -> None:
        """Take what the PLC has written for a station, all its registers."""
        self._writes.append((station, written))
        with contextlib.suppress(OSError):  # the loop has enough to wake for
            self._waker.send(b"w")


def _copy(into: Words, address: int, start: int, words: Words) -> None:
    """Copy the part of `words`, which begin at `start`, that lies in `into`, which begins at `address`."""
    first, last = max(address, start), min(address + len(into), start + len(words))
    if first < last:
        into[first - address : last - address] = words[first - start : last - start]
