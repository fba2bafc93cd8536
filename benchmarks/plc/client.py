"""A PLC in this process: a Modbus TCP client of a few lines, which knows nothing of pymodbus, and its program."""

import socket
import struct
import time
from dataclasses import dataclass, field

from edge.plc.registers import WRITTEN_AT, Control, Status, Words, base, may_pass

WORDS = 38
READ, WRITE = 3, 16


@dataclass
class Sample:
    """What one cycle saw: the local time after its read, the words, and what the PLC then wrote."""

    at_ns: int
    words: Words
    trigger: bool
    acknowledge: int


@dataclass
class Seen:
    """A result as the PLC saw it first."""

    at_ns: int
    epoch: int
    number: int
    seq: int
    passes: bool


@dataclass
class PollingPlc:
    """Reads the block of the first station each `cycle`, and acknowledges what it shows."""

    port: int
    seen: list[Seen] = field(default_factory=list)
    samples: list[Sample] | None = None  # kept if it is a list
    words: Words = field(default_factory=lambda: [0] * WORDS)

    def __post_init__(self) -> None:
        """Connect."""
        self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transaction = 0
        self._trigger, self._with, self._acknowledge = False, 0, 0

    def cycle(self) -> Status:
        """One cycle of the function block in docs/plc; returns the status word."""
        data = self._ask(struct.pack(">BHH", READ, base(0), WORDS))
        at_ns = time.monotonic_ns()
        self.words = list(struct.unpack(f">{WORDS}H", data[2:]))
        status, number = Status(self.words[0]), self.double(2)
        acknowledge = number if Status.VALID in status else 0
        if acknowledge != self._acknowledge:
            if acknowledge:
                passes = may_pass(self.words, number)
                self.seen.append(Seen(at_ns, self.double(36), number, self.double(8), passes))
            self._acknowledge = acknowledge
            self._write()
        if self.samples is not None:
            self.samples.append(Sample(at_ns, self.words, self._trigger, self._acknowledge))
        return status

    def trigger(self, is_set: bool, number: int = 0) -> None:
        """Set or take away the trigger bit."""
        self._trigger, self._with = is_set, number or self._with
        self._write()

    def double(self, at: int) -> int:
        """The number in two words."""
        return self.words[at] << 16 | self.words[at + 1]

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _write(self) -> None:
        words = [int(Control.TRIGGER) if self._trigger else 0, *divmod(self._with, 1 << 16)]
        words += divmod(self._acknowledge, 1 << 16)
        head = struct.pack(">BHHB", WRITE, base(0) + WRITTEN_AT, len(words), 2 * len(words))
        self._ask(head + struct.pack(f">{len(words)}H", *words))

    def _ask(self, request: bytes) -> bytes:
        """The answer to a request, without its head."""
        self._transaction = self._transaction % 0xFFFF + 1
        self._socket.sendall(struct.pack(">HHHB", self._transaction, 0, len(request) + 1, 1) + request)
        length = struct.unpack(">HHHB", self._exactly(7))[2]
        answer = self._exactly(length - 1)
        if answer[0] & 0x80:
            raise OSError(f"Modbus exception {answer[1]}")
        return answer

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            if not (more := self._socket.recv(count - len(data))):
                raise OSError("edge-plc closed the connection")
            data += more
        return data
