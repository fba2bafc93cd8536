"""A relay module in a process of its own, on pymodbus' server: it writes down when its coils and registers change."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

COILS, REGISTERS = 8, 16
ROOT = Path(__file__).parents[2]


class Change(NamedTuple):
    """What was written, when, by this machine's monotonic clock. `kind` is "coil", "register" or "connect"."""

    at_ns: int
    kind: str
    address: int
    value: int


class RelayModule:
    """A module on a port of loopback that can be killed, started again, frozen and continued."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._log = folder / f"relay-{port}.jsonl"
        self._log.touch()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start, as after power-on: all coils off."""
        command = [sys.executable, "-m", "support.relay_module", str(self._log), str(self.port)]
        before = self._log.read_text().count("listening")
        self._process = subprocess.Popen(command, cwd=ROOT / "tests")
        deadline = time.monotonic() + 60
        while self._log.read_text().count("listening") == before:
            assert time.monotonic() < deadline, "the module does not listen"
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP freezes the module, SIGCONT continues it."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Power off."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def changes(self) -> list[Change]:
        """All that happened so far, in order; a coil that is written as it was is no change."""
        lines = self._log.read_text().splitlines()
        return [Change(*json.loads(line)) for line in lines if "listening" not in line]

    def of(self, coil: int) -> list[Change]:
        """The changes of a coil."""
        return [change for change in self.changes if (change.kind, change.address) == ("coil", coil)]

    def is_on(self, coil: int) -> bool:
        """Whether a coil is on."""
        return bool(([0] + [change.value for change in self.of(coil)])[-1])


async def _serve(log: Path, port: int) -> None:
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    with log.open("a", buffering=1) as file:
        coils = [0] * COILS

        def write(kind: str, address: int, value: int) -> None:
            file.write(json.dumps([time.monotonic_ns(), kind, address, value]) + "\n")

        async def act(
            function: int, start: int, address: int, count: int, registers: list[int], values: list[int] | None
        ) -> None:
            if function == 5 and values is not None and coils[address] != int(values[0]):
                coils[address] = int(values[0])
                write("coil", address, coils[address])
            if function == 6 and values is not None:
                write("register", address, int(values[0]))

        def bits() -> list[SimData]:
            return [SimData(0, count=COILS, values=False, datatype=DataType.BITS)]

        def words() -> list[SimData]:
            return [SimData(0, count=REGISTERS, values=0, datatype=DataType.REGISTERS)]

        device = SimDevice(0, (bits(), bits(), words(), words()), action=act)
        server = ModbusTcpServer(
            device, address=("127.0.0.1", port), trace_connect=lambda begins: write("connect", 0, int(begins))
        )
        for coil, is_on in enumerate(coils):
            write("coil", coil, is_on)
        await server.serve_forever(background=True)
        file.write("listening\n")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
