"""`edge-run` as a subprocess: command line, log, processes and end of a station."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from edge.channel.endpoints import STATION, free_endpoint
from edge.station.process.usage import children, family, name_of

PATIENCE_S = 60.0


class EdgeRun:
    """A station in its own processes, run by `edge-run`.

    The options are those of `edge-run`: `limit=5` is --limit=5, `loop=True` is --loop, `records=False` is --no-records;
    None omits an option. By default the station has a free endpoint on loopback. With `bind=None`, for endpoints in a
    configuration file, `endpoint` is empty.
    """

    def __init__(
        self,
        *flags: object,
        log: Path | None = None,
        popen: Mapping[str, Any] | None = None,
        **options: object,
    ) -> None:
        """Start the station. Its standard error is appended to `log`, which stations may share, or to a temporary file;
        `popen`, arguments of `subprocess.Popen`, may name another file. `flags` come last in the command line.
        """
        options = {"bind": free_endpoint()} | options
        self.endpoint, self.name = str(options["bind"] or ""), str(options.get("station") or STATION)
        given = [_flag(key.replace("_", "-"), value) for key, value in options.items() if value is not None]
        command = [sys.executable, "-P", "-m", "edge.cli.run", *given, *map(str, flags)]
        self._log = TemporaryFile("a+b") if log is None else log.open("a+b")  # noqa: SIM115  read later
        self.process: subprocess.Popen[Any] = subprocess.Popen(command, **{"stderr": self._log, **(popen or {})})

    def stop(self, patience_s: float = PATIENCE_S) -> None:
        """Stop the station in order, and kill it if it still runs after `patience_s` seconds."""
        self.process.terminate()
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def log(self) -> str:
        """The station's standard error so far."""
        fd = self._log.fileno()
        return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")  # the station writes at this offset

    def last_words(self) -> str:
        """The last line of the station's log."""
        lines = self.log.strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def child(self, name: str) -> int | None:
        """Process id of the station's living child with this name, such as "edge-inference"; None if there is none."""
        return children(self.process.pid).get(name)

    def pids(self) -> dict[int, str]:
        """Names of the station's processes by process id, the supervisor first."""
        return {pid: name_of(pid) for pid in family(self.process.pid)}


def _flag(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value}"
