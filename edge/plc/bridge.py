"""The loop of edge-plc: a controller to each station, and a device to the PLC over any number of fieldbuses."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from edge.channel.control_messages import Fate, SelectProduct, Trigger
from edge.errors import ChannelError
from edge.gate.station_link import Endpoint, StationLink
from edge.gate.suspension import SuspendWatch
from edge.plc.board import Board
from edge.plc.handshake import ALIVE_NS, Handshake, HandshakeRules
from edge.plc.process_image import Entry, Written
from edge.plc.registers import steps

LONGEST_SLEEP_MS = 20


@dataclass(frozen=True)
class StationAt:
    """A station's name and where it is."""

    station: str
    endpoint: Endpoint


class Bridge:
    """Runs a handshake for each station. Call `turn` again and again from one thread; buses serve `board`.

    The registers of the PLC are cleared when the bridge begins: what a PLC wrote to a former one does not count.
    """

    def __init__(
        self,
        stations: list[StationAt],
        name: str,
        rules: HandshakeRules,
        log: Callable[[str, Entry], None] = lambda station, entry: None,
        allow_insecure: bool = False,
    ) -> None:
        """Connect; the stations need not run yet. `log` is called with each entry before the PLC can read it.

        Raises ChannelError if an endpoint is none, or if anybody could speak as the station there and `allow_insecure`
        does not say that this is meant.
        """
        self.board = Board(len(stations))
        self._poller = zmq.Poller()
        self._poller.register(self.board.wake.fileno(), zmq.POLLIN)
        self._alive_ns = 0
        self._suspend_watch = SuspendWatch()
        self._needed: list[threading.Thread] = []
        self.lines: list[Line] = []
        try:
            for at in stations:
                self.lines.append(Line(at, name, rules, log, allow_insecure, self._poller))
        except BaseException:
            self.close()
            raise

    @property
    def handshakes(self) -> list[Handshake]:
        """The handshake of each station."""
        return [line.handshake for line in self.lines]

    def need(self, bus: threading.Thread) -> None:
        """Run from now on only as long as this thread: stations are not told that a PLC is here which reads nothing."""
        self._needed.append(bus)

    def turn(self) -> None:
        """Hear, speak and show once; sleeps for 20 ms at most.

        Raises RecordsError if the log cannot be written, ChannelError if a needed bus has ended.
        """
        for bus in self._needed:
            if not bus.is_alive():
                raise ChannelError(f"{bus.name} has ended by an error, printed above; start edge-plc again")
        now = time.monotonic_ns()
        for line in self.lines:
            line.link.speak(now)
        self._poller.poll(LONGEST_SLEEP_MS)
        if self._suspend_watch.was_suspended():
            for line in self.lines:
                line.handshake.suspended(time.monotonic_ns())
        for station, written in self.board.writes():
            self._write(station, written)
        for index, line in enumerate(self.lines):
            line.link.hear()
            line.handshake.step(time.monotonic_ns())
            self._show(index, line)
        if time.monotonic_ns() - self._alive_ns >= ALIVE_NS:
            self._alive_ns = time.monotonic_ns()
            self.board.bridge_alive = self.board.bridge_alive % 0xFFFF + 1

    def _write(self, station: int, written: Written) -> None:
        line = self.lines[station]
        line.handshake.write(written, time.monotonic_ns())
        self._show(station, line)

    def _show(self, index: int, line: "Line") -> None:
        image = line.handshake.readable(time.monotonic_ns())
        for step in steps(line.shown, image):
            self.board.show(index, step)
        line.shown = image

    def close(self) -> None:
        """Show nothing any more, send the last acknowledgements, and leave. The buses must have ended."""
        for line in self.lines:
            line.link.close()
        self.board.close()


class Line:
    """One station: its handshake on its link."""

    def __init__(
        self,
        at: StationAt,
        name: str,
        rules: HandshakeRules,
        log: Callable[[str, Entry], None],
        allow_insecure: bool,
        poller: zmq.Poller,
    ) -> None:
        self.station, self._name = at.station, name
        self.handshake = Handshake(
            rules, lambda entry: log(at.station, entry), self._trigger, self._acknowledge, self._select
        )
        self.shown = self.handshake.readable(time.monotonic_ns())
        self.link = StationLink(
            [at.endpoint], at.station, name, self.handshake, allow_insecure=allow_insecure, poller=poller,
            refused=self.handshake.refuse, exposed=self.handshake.expose, selected=self.handshake.selected,
        )  # fmt: skip

    def _trigger(self, trigger: Trigger) -> bool:
        return self.link.trigger(trigger)

    def _select(self, number: int) -> bool:
        return self.link.select(SelectProduct(number=number, by=self._name))

    def _acknowledge(self, epoch: str, seq: int, fate: Fate) -> None:
        self.link.acknowledge(epoch, seq, fate)
