"""PLCs into whose memory edge-plc writes: the function blocks of docs/plc, run on that memory in a thread."""

import threading
import time
from typing import Any, Literal, Protocol

from support.line import ROOT
from support.structured_text import FunctionBlock, rockwell, siemens

from edge.plc.registers import Words

READ_WORDS = 40
CYCLE_S, SLOW_MS, FAST_MS = 0.01, 0.2, 10
"""A cycle, and what the PLC's own clock takes it for: a lease of fifteen seconds, as this machine may be busy, and
one of 0.3 s at the start and while its server is away. A shorter cycle takes the interpreter from the other threads.
"""

BEAT, CONTROL, TRIGGER_WITH, ACKNOWLEDGE = 0, 1, slice(2, 4), slice(4, 6)
"""Of the words that the PLC writes."""

Kind = Literal["s7", "logix"]


class TagBlock:
    """The function block of one maker. `cycle` gives the words that edge-plc reads, without the serial number."""

    def __init__(self, kind: Kind) -> None:
        file, read = ("edge_inspect_s7.scl", siemens) if kind == "s7" else ("edge_inspect_logix.st", rockwell)
        self.block = FunctionBlock(read((ROOT / "docs" / "plc" / file).read_text()))
        self._kind = kind

    def cycle(self, words: Words, ms: float = 10, **inputs: Any) -> Words:
        """One cycle of the PLC on these 40 words."""
        inputs = {"AtGate": False, "TriggerPart": False} | inputs
        if self._kind == "logix":
            signed = {key: _signed(inputs[key]) for key in ("GateNumber", "PartNumber") if key in inputs}
            self.block.cycle(ms, Result=list(words), **inputs | signed)
            return list(self.block["Command"][:6])
        self.block.cycle(ms, Block=list(words), **inputs)
        numbers = [self.block[name] for name in ("TriggerWith", "Acknowledge")]
        halves = [half for number in numbers for half in (number >> 16, number & 0xFFFF)]
        return [self.block["Beat"], self.block["Control"], *halves]

    def __getitem__(self, name: str) -> Any:
        return self.block[name]


def _signed(number: int) -> int:
    return number - 2**32 if number >= 2**31 else number


class Memory(Protocol):
    """Memory of the PLC, which its server shows."""

    def words(self) -> Words: ...

    def say(self, words: Words) -> None: ...


class ModelPlc(threading.Thread):
    """Takes each result as its block does, and sends each part to the gate once, in the cycle after."""

    def __init__(self, kind: Kind, memory: Memory) -> None:
        super().__init__(daemon=True)
        self.block, self._memory = TagBlock(kind), memory
        self.taken: list[int] = []
        self.opened: list[int] = []
        self.is_living = False
        self.is_away = False
        self._is_over = threading.Event()

    def run(self) -> None:
        """The program."""
        at_gate: set[int] = set()
        number, said = 0, [0] * 6
        while not said[BEAT]:
            said = self.block.cycle(self._memory.words(), FAST_MS)
        while not self._is_over.is_set():
            is_new = number not in at_gate | {0}
            at_gate.add(number)
            ms = FAST_MS if self.is_away else SLOW_MS
            said = self.block.cycle(self._memory.words(), ms, AtGate=is_new, GateNumber=number)
            self._memory.say(said)
            if is_new and self.block["GateOpen"]:
                self.opened.append(number)
            now = said[4] << 16 | said[5]
            if now not in (number, 0):
                self.taken.append(now)
            number, self.is_living = now, bool(self.block["IsLiving"])
            time.sleep(CYCLE_S)

    def close(self) -> None:
        """Stop the program; what it wrote stays."""
        self._is_over.set()
        self.join()
