"""What a station tells systemd: that it has started, how it stands, that it makes progress, that it is stopping.

The protocol is one datagram of `NAME=value` lines (sd_notify(3)). Without systemd nothing is said.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping

PINGS_PER_WATCHDOG = 4
"""Signs of life in the time after which systemd would kill the station."""


class Service:
    """The station as systemd sees it. Nothing here waits; what systemd did not take is said again at the next beat."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Reads `NOTIFY_SOCKET`, a path or `@` and an abstract name, and `WATCHDOG_USEC` with `WATCHDOG_PID`."""
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = None
        if address[:1] in ("@", "/"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self.watchdog_s = _watchdog_s(environ)
        self._is_started = False
        self._status = ""
        self._pinged_s = float("-inf")

    def beat(self, has_started: bool, makes_progress: bool, status: str) -> None:
        """Called at each heartbeat of the station.

        `has_started` once is `READY=1`, at which systemd starts what waits for this station. `makes_progress` must be
        known, not assumed: without it for `watchdog_s` seconds systemd kills the station and starts it again.
        """
        if self._socket is None:
            return
        lines = []
        if has_started and not self._is_started:
            lines.append("READY=1")
        if status != self._status:
            lines.append(f"STATUS={' '.join(status.split())}")
        now = time.monotonic()
        is_ping_due = self.watchdog_s is not None and now - self._pinged_s >= self.watchdog_s / PINGS_PER_WATCHDOG
        if makes_progress and is_ping_due:
            lines.append("WATCHDOG=1")
        if lines and self._send(lines):
            self._is_started |= has_started
            self._status = status
            self._pinged_s = now if "WATCHDOG=1" in lines else self._pinged_s

    def stopping(self, cause: str) -> None:
        """The station is shutting down, in order."""
        self._send(["STOPPING=1", f"STATUS={' '.join(cause.split())}"])

    def close(self) -> None:
        """Nothing more will be said."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, lines: list[str]) -> bool:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)
                return True
        return False


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Seconds of silence that systemd allows; None if it does not watch this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdecimal() and int(usec) > 0 else None
