"""A PLC in this process: the program of a PLC on the Modbus TCP client of the drill."""

import time
from dataclasses import dataclass, field

from edge.drill.modbus_client import ModbusClient
from edge.plc.registers import WRITTEN_AT, Control, Status, Words, base, may_pass

WORDS = 40
PATIENCE_S = 60.0


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
        self._client = ModbusClient(self.port, PATIENCE_S)
        self._trigger, self._with, self._acknowledge = False, 0, 0

    def cycle(self) -> Status:
        """One cycle of the function block in docs/plc; returns the status word."""
        self.words = self._client.read(base(0), WORDS)
        at_ns = time.monotonic_ns()
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
        self._client.close()

    def _write(self) -> None:
        words = [int(Control.TRIGGER) if self._trigger else 0, *divmod(self._with, 1 << 16)]
        words += divmod(self._acknowledge, 1 << 16)
        self._client.write(base(0) + WRITTEN_AT, words)
