"""Limits for the connections of browsers: one that asks nothing is closed, and no address takes all of them."""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.security.loopback import is_loopback

MOST_CONNECTIONS = 256
"""Connections at a time. With one more, the oldest that waits for no answer is closed."""

MOST_OF_AN_ADDRESS = 64
"""Connections of one address, except those of this machine: a proxy on it has the browsers of everybody."""

IDLE_S = 10.0
"""A connection without a complete request for this long is closed."""


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with limits for connections that ask nothing."""

    _since = 0.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and close one that is idle if there are too many."""
        super().connection_made(transport)
        self._since = time.monotonic()
        open_now = [one for one in self.connections if isinstance(one, LimitedProtocol) and one._is_open]
        address = self._address
        if not is_loopback(address):
            _make_room([one for one in open_now if one._address == address], MOST_OF_AN_ADDRESS, self)
        _make_room([one for one in open_now if one._is_open], MOST_CONNECTIONS, self)
        self._timer = self.loop.call_later(IDLE_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timer."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """The time without a request begins."""
        self._since = time.monotonic()
        super().on_response_complete()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    @property
    def _is_open(self) -> bool:
        return not self.transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """Whether no answer is being made."""
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete)

    def _look(self) -> None:
        """Close the connection if it has been idle for too long, else look again when it may have been."""
        idle_s = time.monotonic() - self._since if self.is_idle else 0.0
        if idle_s >= IDLE_S:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(IDLE_S - idle_s, self._look)


def _make_room(those: list[LimitedProtocol], most: int, newest: LimitedProtocol) -> None:
    """Close the oldest idle connection of more than `most`; the newest if all others wait for answers."""
    if len(those) > most:
        idle = [one for one in those if one.is_idle and one is not newest]
        min(idle, key=lambda one: one._since, default=newest).transport.close()
