"""Writes the stations' words into the memory of a PLC and reads the PLC's own words there, once per period.

Here edge-plc is the client, so what it wrote last stays in the PLC when it ends. `alive` is therefore the PLC's own
`beat`, returned: the program of the PLC rejects everything when its beat does not come back within 300 ms. A write
that the network held back for longer returns an old beat and counts for nothing.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from edge.errors import ChannelError
from edge.plc.board import Board
from edge.plc.process_image import Readable, Written
from edge.plc.registers import KIND_AT, WRITTEN_AT, WRITTEN_WORDS, Status, Words, pack, unpack
from edge.plc.settings import TagsTable
from edge.security.loopback import is_loopback

log = logging.getLogger("edge.plc")

READ_WORDS = 40
"""Words that the PLC reads for a station: the block of the register map up to `exposed_number`. The word `kind` comes
after them if the table says so, in a request of its own: with it the others would not fit into one of an S7-300."""

HEAD_WORDS = 2
"""Words 0 and 1, `status` and `alive`, are written together and last."""

COMMAND_AT, COMMAND_WORDS = WRITTEN_AT - 1, WRITTEN_WORDS + 1
"""Words that the PLC writes for a station: its beat, then those of the register map."""

RESULT_BITS = Status.VALID | Status.PASS | Status.FAIL
RECONNECT_S = 0.5
"""Pause before a new connection: after 300 ms the PLC has forgotten its trigger and its passes."""

LEASE_S = 0.3
"""How long the program of the PLC waits for its beat before it rejects everything."""

LATE_BEATS = 10
"""Beats in a row that come back too late before a line says so."""

STUCK_S = 5.0
"""How long the PLC may hold words of a former connection before a line says so."""

JOIN_S = 5.0
"""How long the end of edge-plc waits until zeros are written into a connected PLC."""

T = TypeVar("T")


class TagMemory(Protocol):
    """Memory of a PLC. Any exception of a method means that the connection is of no more use."""

    def connect(self) -> None:
        """Connect."""

    def read(self, station: int) -> Words:
        """The COMMAND_WORDS words that the PLC writes for the station with this index."""

    def write(self, station: int, offset: int, words: Words) -> None:
        """Write words that the PLC reads for a station, from the word `offset` on, in one request."""

    def close(self) -> None:
        """Close the connection, if there is one; what is still to be sent is dropped."""


class TagWriter(threading.Thread):
    """Serves the PLC from `start` until `close`; makes the connection again 500 ms after it is lost."""

    def __init__(self, board: Board, memory: TagMemory, bus: str, table: TagsTable) -> None:
        """`bus` names the protocol in log lines."""
        super().__init__(name=f"edge-plc-{bus.lower()}", daemon=True)
        self._board, self._memory, self._table = board, memory, table
        self._where = f"{bus}: {table.address}"
        self._closing = threading.Event()
        self._said, self._is_serving = "", False

    def run(self) -> None:
        """The thread: one connection after another."""
        while not self._closing.is_set():
            try:
                self._memory.connect()
                self._is_serving = True
                self._serve()
            except Exception as error:  # both libraries raise what they like on a malformed answer
                self._say(f"{error or type(error).__name__}; it is tried again")
            finally:
                self._is_serving = False
                self._memory.close()
            self._closing.wait(RECONNECT_S)

    def close(self) -> None:
        """Write zeros over everything and disconnect; an attempt to connect is not waited for."""
        self._closing.set()
        if self.ident is not None and self._is_serving:
            self.join(JOIN_S)

    def _serve(self) -> None:
        stations = [
            StationTags(self._board, index, self, self._say, self._table.kind) for index in range(self._board.stations)
        ]
        for one in stations:
            one.clear()
        period_s, is_said = self._table.period_ms / 1e3, False
        while not self._closing.is_set():
            begun = time.monotonic()
            for one in stations:
                one.turn()
            if not is_said:
                is_said = True
                self._say("connected", logging.INFO)
            self._closing.wait(max(0.0, begun + period_s - time.monotonic()))
        for one in stations:
            one.clear()

    def read(self, station: int) -> Words:
        """Read what the PLC writes. Raises TimeoutError if that took too long: a trigger could be an old one."""
        words = self._timed(lambda: self._memory.read(station))
        if len(words) != COMMAND_WORDS:
            raise ValueError(f"{len(words)} words were read where the PLC writes {COMMAND_WORDS}")
        return words

    def write(self, station: int, offset: int, words: Words) -> None:
        """Write what the PLC reads. Raises TimeoutError if that took too long."""
        self._timed(lambda: self._memory.write(station, offset, words))

    def _timed(self, request: Callable[[], T]) -> T:
        begun = time.monotonic()
        answer = request()
        if time.monotonic() - begun > self._table.timeout_ms / 1e3:
            raise TimeoutError(f"no answer within {self._table.timeout_ms:g} ms")
        return answer

    def _say(self, what: str, level: int = logging.WARNING) -> None:
        if what != self._said and not self._closing.is_set():
            self._said = what
            log.log(level, "%s: %s", self._where, what)


class StationTags:
    """The words of one station during one connection."""

    def __init__(
        self, board: Board, station: int, writer: TagWriter, say: Callable[[str], None], has_kind: bool = False
    ) -> None:
        """Nothing is written or taken yet. `has_kind` says that the PLC's memory has the word `kind`, too."""
        self._board, self._station, self._writer, self._say = board, station, writer, say
        self._has_kind = has_kind
        self._begun, self._is_said = time.monotonic(), False
        self._read_s, self._late_beats = self._begun, 0
        self._written: Written | None = None
        self._status, self._alive, self._station_alive = Status(0), 0, 0
        self._data: Words = []
        self._kind: int | None = None
        self._result: object = None

    def clear(self) -> None:
        """Write zeros: the status first."""
        self._head(Status(0), 0)
        self._write_data([0] * (READ_WORDS - HEAD_WORDS))
        self._write_kind(0)

    def turn(self) -> None:
        """Take what the PLC has written, then write what it reads.

        Nothing is shown, and no trigger, changeover or acknowledgement counts, before all were seen to be 0 on this
        connection: they may be left over from a former one.
        """
        former_s, self._read_s = self._read_s, time.monotonic()
        beat, *words = self._writer.read(self._station)
        written = unpack(words)
        if self._written is None:
            if written.trigger or written.select or written.acknowledged:
                self._is_left_over(written)
                return
            self._station_alive = self._board.image(self._station).alive
        if written != self._written:
            self._written = written
            self._board.write(self._station, written)
        self._show(beat)
        self._watch_beat(time.monotonic() - former_s)

    def _watch_beat(self, longest_s: float) -> None:
        """`longest_s` is how old the returned beat can be: the PLC may have changed it right after the former read."""
        self._late_beats = self._late_beats + 1 if longest_s > LEASE_S else 0
        if self._late_beats == LATE_BEATS:
            self._say(
                f"the PLC's answers take so long that its beat for station {self._station + 1} comes back after more "
                f"than {LEASE_S * 1e3:g} ms, and its program rejects everything; make them faster or use fewer stations"
            )

    def _is_left_over(self, written: Written) -> None:
        if time.monotonic() - self._begun > STUCK_S and not self._is_said:
            self._is_said = True
            self._say(
                f"nothing is shown for station {self._station + 1} until the PLC's program clears its trigger bit, its "
                f"select bit and its acknowledgement, which is {written.acknowledged}"
            )

    def _show(self, beat: int) -> None:
        """The data first, the status last; a former result is taken away before."""
        image = self._board.image(self._station)
        words = pack(image)[:READ_WORDS]
        if words[HEAD_WORDS:] != self._data:
            if _result_of(image) != self._result and Status.VALID in self._status:
                self._head(self._status & ~RESULT_BITS, self._alive)
            self._write_data(words[HEAD_WORDS:])
            self._write_kind(image.kind)
            self._result = _result_of(image)
            if _result_of(self._board.image(self._station)) != self._result:
                return  # it has changed or its time is over meanwhile: the next turn shows what it is then
        if image.alive != self._station_alive:  # the station's heartbeats hold
            self._station_alive, self._alive = image.alive, beat
        self._head(Status(words[0]), self._alive)

    def _head(self, status: Status, alive: int) -> None:
        self._writer.write(self._station, 0, [int(status), alive])
        self._status = status

    def _write_data(self, words: Words) -> None:
        self._writer.write(self._station, HEAD_WORDS, words)
        self._data = words

    def _write_kind(self, kind: int) -> None:
        if self._has_kind and kind != self._kind:
            self._writer.write(self._station, KIND_AT, [kind])
        self._kind = kind


def _result_of(image: Readable) -> object:
    return image.valid, image.number, image.code, image.seq, image.result_epoch


def place_of(table: TagsTable, name: str, port: int) -> tuple[str, int]:
    """Host and port of a PLC; `port` unless the address has one. Raises ChannelError, in one line."""
    place = urlsplit(f"//{table.address}")
    try:
        host, port = place.hostname or "", place.port or port
    except ValueError:
        host = ""
    if not host:
        raise ChannelError(f"[plc.{name}]: address = {table.address!r} is none; one looks like 192.168.10.3")
    if not (is_loopback(host) or table.insecure):
        raise ChannelError(
            f"[plc.{name}]: {table.address} can be written by anybody on its network, as this protocol authenticates "
            "nobody; keep that network to the PLC and this machine alone, and say insecure = true"
        )
    return host, port
