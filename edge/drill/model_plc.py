"""A model PLC: polls the block of a station over Modbus TCP, and follows the function block of docs/plc."""

import contextlib
import random
import threading
import time
from dataclasses import dataclass, field

from edge.drill.modbus_client import ModbusClient
from edge.plc.codes import Code
from edge.plc.registers import STATION, WRITTEN_AT, Control, Status, Words, base, may_pass

WORDS = 40
CYCLE_S = 0.005
LEASE_NS = 300_000_000
"""How long `alive` may stand still, and an answer may take."""

PRODUCT_AT = next(register.offset for register in STATION if register.name == "product_with")
MOST_SLICE = 4
_TROUBLE = Status.MISSED_TRIGGER | Status.OVERRUN | Status.ERROR


@dataclass(frozen=True)
class Result:
    """A result as the PLC saw it first. `asked_ns` is the local time before the read, `at_ns` that after it.

    `epoch` has the first 8 hexadecimal digits of the station's run, as a number.
    """

    asked_ns: int
    at_ns: int
    epoch: int
    number: int
    code: int
    passes: bool

    @property
    def is_judged(self) -> bool:
        """Whether the verdict was an in-time good or reject."""
        return self.code in (Code.CLEAR, Code.DEFECT)


@dataclass
class ModelPlc:
    """Runs in a thread from `start` until `close`. The flags inject faults of the PLC; set them from any thread.

    `results` grows with each result, `troubles` with the local times (ns) at which the output Fault of the function
    block became true: a read failed, `alive` stood still, or the status has an error. `troubled_ns` is the last local
    time at which it was true.
    """

    port: int
    is_silent: bool = False
    acknowledges_wrong: bool = False
    reads_slices: bool = False
    wanted: int = 0
    """Number of a product that it asks for; 0 for none."""

    results: list[Result] = field(default_factory=list)
    troubles: list[int] = field(default_factory=list)
    troubled_ns: int = 0

    def __post_init__(self) -> None:
        """Nothing is read before `start`."""
        self._client: ModbusClient | None = None
        self._alive, self._alive_ns = 0, 0
        self._acknowledge = 0
        self._written: tuple[int, ...] | None = None
        self._is_troubled = False
        self._shuffled = random.Random(0)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edge-model-plc", daemon=True)

    def start(self) -> None:
        """Begin to poll; the server need not listen yet."""
        self._thread.start()

    def close(self) -> None:
        """Stop polling."""
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._disconnect()

    def _run(self) -> None:
        while not self._is_over.wait(CYCLE_S):
            if not self.is_silent:
                self._cycle()

    def _cycle(self) -> None:
        try:
            client = self._client = self._client or ModbusClient(self.port, LEASE_NS / 1e9)
            asked_ns, words = self._read(client)
            at_ns = time.monotonic_ns()
            status = self._decide(words, asked_ns, at_ns)
            acknowledge = self._acknowledge + self.acknowledges_wrong if self._acknowledge else 0
            control = int(Control.CLEAR) if status & _TROUBLE else 0
            wanted = self.wanted
            control |= int(Control.SELECT) if wanted else 0
            if (control, acknowledge, wanted) != self._written:
                client.write(base(0) + PRODUCT_AT, [wanted])
                client.write(base(0) + WRITTEN_AT, [control, 0, 0, *divmod(acknowledge, 1 << 16)])
                self._written = control, acknowledge, wanted
        except OSError:
            self._disconnect()
            self._note_trouble(True)

    def _read(self, client: ModbusClient) -> tuple[int, Words]:
        """The local time before the read, and the block: in one request, or in slices in any order."""
        asked_ns = time.monotonic_ns()
        if not self.reads_slices:
            return asked_ns, client.read(base(0), WORDS)
        slices, at = [], 0
        while at < WORDS:
            count = min(self._shuffled.randint(1, MOST_SLICE), WORDS - at)
            slices.append((at, count))
            at += count
        self._shuffled.shuffle(slices)
        words = [0] * WORDS
        for at, count in slices:
            words[at : at + count] = client.read(base(0) + at, count)
        return asked_ns, words

    def _decide(self, words: Words, asked_ns: int, at_ns: int) -> Status:
        """Take a result once, and acknowledge it. Returns the status; 0 without a sign of life."""
        if words[1] != self._alive:
            self._alive, self._alive_ns = words[1], at_ns
        is_living = words[1] != 0 and at_ns - self._alive_ns < LEASE_NS
        status = Status(words[0]) if is_living else Status(0)
        self._note_trouble(not is_living or bool(status & _TROUBLE))
        number = words[2] << 16 | words[3]
        if Status.VALID not in status:
            self._acknowledge = 0
        elif number != self._acknowledge:
            epoch = words[36] << 16 | words[37]
            self.results.append(Result(asked_ns, at_ns, epoch, number, words[6], may_pass(words, number)))
            self._acknowledge = number
        return status

    def _note_trouble(self, is_troubled: bool) -> None:
        if is_troubled:
            self.troubled_ns = time.monotonic_ns()
            if not self._is_troubled:
                self.troubles.append(self.troubled_ns)
        self._is_troubled = is_troubled

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        self._acknowledge, self._written = 0, None
        if client is not None:
            with contextlib.suppress(OSError):
                client.close()
