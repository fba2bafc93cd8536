"""Notifications to systemd: start, status, watchdog pings, stop.

The protocol is one datagram of `NAME=value` lines (sd_notify(3)). Without systemd nothing is sent.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Protocol

PINGS_PER_WATCHDOG = 4
"""Watchdog pings within the time after which systemd would kill the station."""


class Reports(Protocol):
    """Receiver of a station's status reports."""

    def beat(self, has_started: bool, makes_progress: bool, status: str) -> None:
        """See `Service.beat`."""
        ...

    def stopping(self, cause: str) -> None:
        """See `Service.stopping`."""
        ...

    def close(self) -> None:
        """See `Service.close`."""
        ...


class Service:
    """The station's systemd service. No method waits; what systemd did not accept is sent again at the next beat."""

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
        """Report the status; called at each heartbeat of the station.

        The first `has_started` sends `READY=1`, at which systemd starts the units that wait for this station.
        `makes_progress` must be known, not assumed: without it for `watchdog_s` seconds systemd kills and restarts the
        station.
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
        """Report that the station is shutting down in order."""
        self._send(["STOPPING=1", f"STATUS={' '.join(cause.split())}"])

    def close(self) -> None:
        """Close the socket; nothing more is sent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, lines: list[str]) -> bool:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)
                return True
        return False


class SharedService:
    """Several stations as one service: started when one of them is, and alive while every one makes progress."""

    def __init__(self, service: Service) -> None:
        """`service` is the process's own."""
        self._service = service
        self._reports: dict[str, tuple[bool, bool, str]] = {}

    def of(self, station: str) -> Reports:
        """The receiver of reports for the station of this name."""
        return _Share(self, station)

    def beat(self, station: str, report: tuple[bool, bool, str]) -> None:
        """Handle the report of one station at its heartbeat; see `Service.beat`."""
        self._reports[station] = report
        has_started, makes_progress, _ = zip(*self._reports.values(), strict=True)
        status = "; ".join(f"{name}: {status.strip()}" for name, (_, _, status) in self._reports.items())
        self._service.beat(any(has_started), all(makes_progress), status)

    def leave(self, station: str) -> None:
        """Remove a station that has ended, so that the others do not depend on it."""
        self._reports.pop(station, None)


class _Share:
    """One station's part of a shared service."""

    def __init__(self, shared: SharedService, station: str) -> None:
        self._shared, self._station = shared, station

    def beat(self, has_started: bool, makes_progress: bool, status: str) -> None:
        self._shared.beat(self._station, (has_started, makes_progress, status))

    def stopping(self, cause: str) -> None:
        """Nothing: the end of one station does not end the service."""

    def close(self) -> None:
        """Nothing: the service belongs to the process, which closes it."""


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Seconds of silence that systemd allows; None if it does not watch this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdecimal() and int(usec) > 0 else None
