"""OPC UA: states and results of the stations for readers, from a server in a process of its own; it moves nothing.

A thread feeds the process over a pipe and starts it again when it has ended, hangs or has grown. The loop of edge-plc
and the other buses never wait for either.
"""

import contextlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from edge.errors import ConfigError
from edge.plc.board import Board
from edge.plc.process_image import Entry
from edge.plc.settings import OpcuaTable, read_password
from edge.plc.vision_nodes import Values, result_values, state_values
from edge.security.listening import bound, listen
from edge.security.loopback import is_loopback
from edge.verdict import Heartbeat

log = logging.getLogger("edge.plc")

TURN_S = 0.1
START_S = 120.0
"""How long the server may take until it listens: some 3 s of processor time, 1 s of it for the node set."""

HUNG_S = 10.0
"""How long the server may leave its pipe full."""

RESTART_S = 2.0
LOOK_S = 10.0
MOST_MEMORY = 512 * 2**20
"""Bytes of resident memory at which the server is started again: subscriptions of clients that broke off may stay."""

MOST_RESULTS, MOST_AT_ONCE = 10_000, 200
"""Results of a station that wait for the server; the oldest is dropped."""


Heard = tuple[Heartbeat | None, str | None]


class OpcuaServer(threading.Thread):
    """Serves from `start` until `close`. `endpoint` is the HOST:PORT that the process binds."""

    def __init__(
        self, board: Board, stations: list[str], heard: Callable[[], Sequence[Heard]], table: OpcuaTable
    ) -> None:
        """Check the table and the endpoint. `heard` gives the last heartbeat and the bundle of each station.

        Raises ChannelError or ConfigError, in one line; ModuleNotFoundError without asyncua.
        """
        super().__init__(name="edge-plc-opcua", daemon=True)
        if importlib.util.find_spec("asyncua") is None:
            raise ModuleNotFoundError("No module named 'asyncua'", name="asyncua")
        self._board, self._stations, self._heard = board, stations, heard
        self._results: dict[str, deque[Values]] = {station: deque(maxlen=MOST_RESULTS) for station in stations}
        self._settings = _settings(table, stations)
        self.endpoint = self._settings["bind"]
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()

    def enter(self, station: str, entry: Entry) -> None:
        """Take what happened to a result; called from the loop, never waits."""
        if entry.event != "acknowledged":
            self._results[station].append(result_values(entry))

    def run(self) -> None:
        """The thread: one process after another."""
        log.info("OPC UA at opc.tcp://%s/edge", self.endpoint)
        while not self._closing.is_set():
            why = self._serve()
            if not self._closing.is_set():
                log.warning("OPC UA: the server is started again: %s", why)
                self._closing.wait(RESTART_S)

    def close(self) -> None:
        """End the process."""
        self._closing.set()
        if self.ident is not None:
            self.join(5.0)

    def _serve(self) -> str:
        """Run a process until it ends or has to. Returns why it ended."""
        command = [sys.executable, "-P", "-m", "edge.plc.opcua_server"]
        with TemporaryFile() as said:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
            self.starts += 1
            try:
                why = self._feed(self.process)
            finally:
                self._end(self.process)
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            return lines[-1] if lines else why

    def _feed(self, process: "subprocess.Popen[bytes]") -> str:
        """Write the settings and, once it listens, the updates into the process's input. Returns why it has to end."""
        assert process.stdin is not None
        assert process.stdout is not None
        pipe, answer = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(pipe, False)
        os.set_blocking(answer, False)
        waiting, listens = _line(self._settings), False
        began = moved = looked = time.monotonic()
        while not self._closing.wait(TURN_S):
            if not listens:
                with contextlib.suppress(BlockingIOError):
                    listens = os.read(answer, 64) != b""
            if not waiting and listens:
                waiting, moved = _line(self._update()), time.monotonic()
            with contextlib.suppress(BlockingIOError):
                try:
                    waiting = waiting[os.write(pipe, waiting) :]
                except BrokenPipeError:
                    return "it ended"
            now = time.monotonic()
            if listens and waiting and now - moved > HUNG_S:
                return f"it took nothing for {HUNG_S:g} s"
            if not listens and now - began > START_S:
                return f"it did not listen within {START_S:g} s"
            if process.poll() is not None:
                return f"it ended with exit status {process.returncode}"
            if now - looked > LOOK_S:
                looked = now
                if (memory := _memory(process.pid)) > MOST_MEMORY:
                    return f"it had grown to {memory} bytes"
        return "it was closed"

    def _update(self) -> dict[str, tuple[Values, list[Values]]]:
        """By station the values, and the results since the last update."""
        said = {}
        for index, (station, heard) in enumerate(zip(self._stations, self._heard(), strict=True)):
            waiting = self._results[station]
            results = [waiting.popleft() for _ in range(min(len(waiting), MOST_AT_ONCE))]
            said[station] = state_values(self._board.image(index), *heard), results
        return said

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _line(said: object) -> bytes:
    return json.dumps(said).encode() + b"\n"


def _memory(pid: int) -> int:
    """Resident memory, bytes; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _settings(table: OpcuaTable, stations: list[str]) -> dict[str, Any]:
    """What the process needs. Raises ChannelError or ConfigError, in one line."""
    if (table.cert is None) != (table.key is None):
        raise ConfigError("[plc.opcua]: cert and key belong together; give both")
    if (table.user is None) != (table.password_file is None):
        raise ConfigError("[plc.opcua]: user and password_file belong together; give both")
    if table.cert is None and (table.user is not None or table.trusted is not None):
        raise ConfigError("[plc.opcua]: user and trusted need an encrypted channel; give cert and key")
    is_closed = None not in (table.cert, table.user, table.trusted)
    for file in (table.cert, table.key):
        if file is not None and not os.access(file, os.R_OK):
            raise ConfigError(f"[plc.opcua]: {file} cannot be read; give a file in PEM or DER")
    if table.trusted is not None and not table.trusted.is_dir():
        raise ConfigError(f"[plc.opcua]: trusted = {table.trusted} is no folder; it holds the clients' certificates")
    if table.trusted is not None and not any(table.trusted.iterdir()):
        raise ConfigError(f"[plc.opcua]: trusted = {table.trusted} is empty; copy the clients' certificates there")
    with listen(table.bind, "OPC UA", "", True, 4840) as probe:  # the process binds it again
        host, where = probe.getsockname()[0], bound(probe)
    if not is_loopback(host) and not is_closed:
        secrets = "cert, key, trusted, user and password_file"
        raise ConfigError(f"[plc.opcua]: bind = {table.bind} is open to the network; give {secrets}, or use 127.0.0.1")
    return {
        "bind": where, "stations": stations, "user": table.user,
        "password": read_password(table.password_file, "for OPC UA"),
        "cert": _text(table.cert), "key": _text(table.key), "trusted": _text(table.trusted),
    }  # fmt: skip


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
