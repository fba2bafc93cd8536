"""Limits for the connections of browsers: one that asks nothing is closed, and no address takes all of them."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.security.loopback import is_loopback

MOST_CONNECTIONS = 256
"""Connections at a time. With one more, the oldest that waits for no answer is closed."""

MOST_OF_AN_ADDRESS = 64
"""Connections of one address, except those of this machine: a proxy on it has the browsers of everybody."""

MOST_CLOSING = 64
"""Connections that the page has closed and that have not ended: the peer has not read all, or over TLS not said that
it has the end. With one more, the oldest is cut.
"""

MOST_CLOSING_OF_AN_ADDRESS = 16
"""Of these, those of one address, except those of this machine."""

IDLE_S = 10.0
"""A connection without a complete request for this long is closed, and cut after as long again."""


class _Addressed(Protocol):
    @property
    def address(self) -> str:
        """The address of the peer."""


_One = TypeVar("_One", bound=_Addressed)


def crowds(
    those: Callable[[], list[_One]], address: str, most: int, most_of_an_address: int
) -> Iterator[tuple[list[_One], int]]:
    """Connections of this address, then of all, and by how many they are too many. Those of this machine have no limit
    of their own. `those` is asked each time: closing some of the first may leave few enough of all.
    """
    if not is_loopback(address):
        alike = [one for one in those() if one.address == address]
        yield alike, max(0, len(alike) - most_of_an_address)
    every = those()
    yield every, max(0, len(every) - most)


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with limits for connections that ask nothing."""

    _since = 0.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and close one that is idle if there are too many."""
        super().connection_made(transport)
        self._since = time.monotonic()
        for open_now, excess in crowds(self._open, self.address, MOST_CONNECTIONS, MOST_OF_AN_ADDRESS):
            if excess:
                _close_one(open_now, self)
        for closing, excess in crowds(self._closing, self.address, MOST_CLOSING, MOST_CLOSING_OF_AN_ADDRESS):
            for one in sorted(closing, key=lambda one: one._since)[:excess]:
                one.transport.abort()
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
    def address(self) -> str:
        """The address of the peer."""
        return self.client[0] if self.client else ""

    def _open(self) -> list["LimitedProtocol"]:
        """The connections of the page that it has not closed."""
        return [one for one in self._all() if not one.transport.is_closing()]

    def _closing(self) -> list["LimitedProtocol"]:
        """The connections that the page has closed and that have not ended."""
        return [one for one in self._all() if one.transport.is_closing()]

    def _all(self) -> list["LimitedProtocol"]:
        return [one for one in self.connections if isinstance(one, LimitedProtocol)]

    @property
    def is_idle(self) -> bool:
        """Whether no answer is being made."""
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete)

    def _look(self) -> None:
        """Close the connection if it has been idle for too long, and cut it if that did not end it; else look again
        when it may have been.
        """
        is_closing = self.transport.is_closing()
        idle_s = time.monotonic() - self._since if self.is_idle or is_closing else 0.0
        if idle_s < IDLE_S:
            self._timer = self.loop.call_later(IDLE_S - idle_s, self._look)
        elif is_closing:
            self.transport.abort()
        else:
            self.transport.close()
            self._timer = self.loop.call_later(IDLE_S, self._look)


def _close_one(those: list[LimitedProtocol], newest: LimitedProtocol) -> None:
    """Close the connection that is idle longest; the newest if all others wait for answers."""
    idle = [one for one in those if one.is_idle and one is not newest]
    min(idle, key=lambda one: one._since, default=newest).transport.close()
