"""edge-plc in a process of its own, and a PLC on pymodbus' client that follows docs/guide/plc.md."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymodbus.client import ModbusTcpClient
from support.line import command

from edge.plc.registers import BLOCK, WRITTEN_AT, Control, Status, Words, base, may_pass

PATIENCE_S = 60.0
NUMBER_AT, TRIGGER_AT, ACKNOWLEDGE_AT = 2, WRITTEN_AT + 1, WRITTEN_AT + 3


def until(condition: Callable[[], object], every_s: float = 0.005) -> None:
    """Wait until it is so; a busy machine is given time."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(every_s)


@dataclass
class EdgePlc:
    """A running edge-plc."""

    process: "subprocess.Popen[str]"
    port: int
    said: Path

    def ended(self) -> int:
        """Its exit code, waited for."""
        return self.process.wait(PATIENCE_S)


@contextmanager
def running_plc(folder: Path, *arguments: object) -> Iterator[EdgePlc]:
    """`edge-plc` with these arguments on a free port; killed at the end."""
    said = folder / f"plc-{time.monotonic_ns()}.txt"
    with said.open("w") as out:
        process = subprocess.Popen(
            command("plc", "--modbus", 0, *arguments), stdout=out, stderr=out, text=True, start_new_session=True
        )
    try:
        until(lambda: process.poll() is not None or "Modbus TCP at" in said.read_text())
        match = re.search(r"Modbus TCP at .*:(\d+)", said.read_text())
        assert match is not None, said.read_text()
        yield EdgePlc(process, int(match[1]), said)
    finally:
        process.kill()
        process.wait()


class Plc:
    """A PLC of one station: each `cycle` reads the block in one request, and acknowledges what it shows."""

    def __init__(self, port: int, station: int = 0) -> None:
        self.client = ModbusTcpClient("127.0.0.1", port=port, timeout=10)
        assert self.client.connect()
        self._base = base(station)
        self.words: Words = [0] * WRITTEN_AT
        self.decided: dict[tuple[int, int], bool] = {}  # whether the part passed, by epoch and number
        self.twice: list[int] = []
        self.cycles = 0
        self._acknowledging: tuple[int, int] | None = None

    def read(self, address: int = 0, count: int = 40) -> Words:
        """Registers of the station's block."""
        answer: Any = self.client.read_holding_registers(self._base + address, count=count)
        assert not answer.isError(), answer
        return list(answer.registers)

    def write(self, address: int, *words: int) -> None:
        """Write registers of the block."""
        assert not self.client.write_registers(self._base + address, list(words)).isError()

    def cycle(self) -> Status:
        """One cycle of the PLC; returns the status word."""
        self.cycles += 1
        self.words = self.read()
        status = Status(self.words[0])
        if Status.VALID not in status:
            self._acknowledging = None
        elif (part := (self._double(36), self._double(2))) != self._acknowledging:  # edge-plc may not have seen it yet
            self._acknowledging, (epoch, number) = part, part
            if part in self.decided:
                self.twice.append(number)
            self.decided[epoch, number] = may_pass(self.words, number)
            self.write(ACKNOWLEDGE_AT, *self.words[2:4])
        return status

    def trigger(self, number: int) -> None:
        """Number first, then the bit."""
        self.write(TRIGGER_AT, number >> 16, number & 0xFFFF)
        self.write(WRITTEN_AT, int(Control.TRIGGER))

    def _double(self, at: int) -> int:
        return self.words[at] << 16 | self.words[at + 1]

    def close(self) -> None:
        """Leave."""
        self.client.close()


@contextmanager
def plc_at(port: int, station: int = 0) -> Iterator[Plc]:
    """A connected PLC."""
    plc = Plc(port, station)
    try:
        yield plc
    finally:
        plc.close()


__all__ = ["ACKNOWLEDGE_AT", "BLOCK", "NUMBER_AT", "TRIGGER_AT", "EdgePlc", "Plc", "plc_at", "running_plc", "until"]
